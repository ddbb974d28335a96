//go:debug multipathtcp=0

package speaker

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"syscall"
	"testing"
	"time"

	"go.uber.org/zap"

	"github.com/landfall-cdn/landfall/bgp"
	"github.com/landfall-cdn/landfall/bgp/ladder"
)

// The test binary is also the processes that the tests start: roleEnv
// says which one it is.
const (
	roleEnv = "LANDFALL_TEST_ROLE"
	nodeEnv = "LANDFALL_TEST_NODE" // a nodeConfig
	// listenEnv tells a speaker that it will listen.
	listenEnv = "LANDFALL_TEST_LISTEN"
)

func TestMain(m *testing.M) {
	var err error
	switch role := os.Getenv(roleEnv); role {
	case "":
		os.Exit(m.Run())
	case "speaker":
		err = Main(testLog(), Needs{Listen: os.Getenv(listenEnv) != ""})
	case "node":
		err = nodeMain()
	default:
		err = fmt.Errorf("role %q", role)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// nodeConfig is what a node process is told.
type nodeConfig struct {
	BGP        bgp.Config
	Settle     time.Duration
	SpeakerEnv []string
	Quarantine time.Duration
}

// nodeLine is what it writes to standard output every now and then.
type nodeLine struct {
	Status   bgp.Status
	Returned bool // the announcer's Run did, with Error
	Error    string
}

// nodeMain is a data plane with nothing in it but BGP.
func nodeMain() error {
	var cfg nodeConfig
	if err := json.Unmarshal([]byte(os.Getenv(nodeEnv)), &cfg); err != nil {
		return err
	}
	client, err := NewClient(ClientConfig{BGP: cfg.BGP, Quarantine: cfg.Quarantine, Log: testLog(), Start: func() (*Process, error) {
		cmd := exec.Command("/proc/self/exe")
		cmd.Env = append(append(os.Environ(), roleEnv+"=speaker"), cfg.SpeakerEnv...)
		if len(cfg.BGP.Listen) > 0 {
			cmd.Env = append(cmd.Env, listenEnv+"=1")
		}
		return Start(cmd)
	}})
	if err != nil {
		return err
	}
	announcer, err := ladder.New(ladder.Config{
		BGP: cfg.BGP, Speaker: client, Settle: cfg.Settle, Rules: ladder.DefaultRules(), Log: testLog(),
	})
	if err != nil {
		return err
	}
	ctx, cancel := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer cancel()
	ended := make(chan error, 1)
	go func() { ended <- announcer.Run(ctx, func() {}) }()
	out := json.NewEncoder(os.Stdout)
	look := time.NewTicker(20 * time.Millisecond)
	defer look.Stop()
	for {
		select {
		case <-look.C:
			if err := out.Encode(nodeLine{Status: client.Status()}); err != nil {
				return err
			}
		case err := <-ended:
			line := nodeLine{Status: client.Status(), Returned: true}
			if err != nil {
				line.Error = err.Error()
			}
			return out.Encode(line)
		}
	}
}

func testLog() *zap.Logger {
	log, err := zap.NewProduction(zap.WithCaller(false))
	if err != nil {
		return zap.NewNop()
	}
	return log
}
