package bfd

import (
	"context"
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"os/signal"
	"syscall"
	"testing"
	"time"

	"go.uber.org/zap"
)

// The test binary is also the processes that the tests start in network
// namespaces: roleEnv says which one it is, inputEnv what it is told.
const (
	roleEnv  = "LANDFALL_TEST_ROLE"
	inputEnv = "LANDFALL_TEST_INPUT"
)

func TestMain(m *testing.M) {
	var err error
	switch role := os.Getenv(roleEnv); role {
	case "":
		os.Exit(m.Run())
	case "node":
		err = nodeMain()
	case "blast":
		err = blastMain()
	default:
		err = fmt.Errorf("role %q", role)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// nodeLine is what a node writes to standard output every now and then.
type nodeLine struct {
	Sessions []seen
	Drops    Drops
	Changes  []string // all so far, as peer, state and diagnostic
	Told     bool     // AdminDown returned
	Error    string
}

// seen is a Status as it is written.
type seen struct {
	Peer                                             netip.Addr
	State, Diagnostic, RemoteState, RemoteDiagnostic string
	Since                                            time.Time
	Detection, Interval, LargestGap                  time.Duration
	Flaps, Received, Sent, Failed                    uint64
	Discarded                                        map[string]uint64
}

// nodeMain is a data plane with nothing in it but BFD. SIGUSR1 has it say
// AdminDown, SIGUSR2 resume.
func nodeMain() error {
	var peers []Peer
	if err := json.Unmarshal([]byte(os.Getenv(inputEnv)), &peers); err != nil {
		return err
	}
	log, err := zap.NewProduction(zap.WithCaller(false))
	if err != nil {
		return err
	}
	changes := make(chan string, 1000)
	server, err := New(Config{Peers: peers, Log: log, Changed: func(s Status) {
		changes <- fmt.Sprint(s.Peer, " ", s.State, " ", s.Diagnostic)
	}})
	if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	orders := make(chan os.Signal, 1)
	signal.Notify(orders, syscall.SIGUSR1, syscall.SIGUSR2)
	ended, told := make(chan error, 1), make(chan error, 1)
	go func() { ended <- server.Run(ctx, func() {}) }()
	out := json.NewEncoder(os.Stdout)
	look := time.NewTicker(20 * time.Millisecond)
	defer look.Stop()
	line := struct {
		Sessions []Status
		Drops    Drops
		Changes  []string
		Told     bool
	}{}
	for {
		select {
		case s := <-orders:
			if s == syscall.SIGUSR2 {
				server.Resume()
				continue
			}
			go func() { told <- server.AdminDown(ctx) }()
		case err := <-told:
			line.Told = err == nil
		case c := <-changes:
			line.Changes = append(line.Changes, c)
		case err := <-ended:
			return err
		case <-look.C:
			line.Sessions, line.Drops = server.Status(), server.Drops()
			if err := out.Encode(line); err != nil {
				return err
			}
		}
	}
}
