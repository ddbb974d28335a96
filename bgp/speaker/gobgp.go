package speaker

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"
	"unicode/utf8"

	api "github.com/osrg/gobgp/v3/api"
	gobgpserver "github.com/osrg/gobgp/v3/pkg/server"
	"go.uber.org/zap"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/landfall-cdn/landfall/bgp"
)

const (
	bgpPort    = 179
	activeOnly = -1 // GoBGP's port for "open no listener"

	// GoBGP's own are 120 s and 30 s.
	connectRetry       = 1 // seconds between two attempts to connect
	idleHoldAfterReset = 1 // seconds in Idle after a reset

	// addPathMax is how many paths of a prefix a router may get by ADD-PATH.
	// A node has one.
	addPathMax = 1

	// maxMessage is the longest shutdown communication GoBGP sends
	// (RFC 8203; RFC 9003 allows 255), in bytes.
	maxMessage = 128

	// A stop that takes longer than the sum is cut off by the end of the
	// process, which closes the sessions too.
	farewellLimit = 500 * time.Millisecond // for the routers to be told why
	stopLimit     = time.Second
)

// gobgp is the router of package github.com/osrg/gobgp/v3. Owned by
// serve.
type gobgp struct {
	server *gobgpserver.BgpServer
	log    *gobgpLogger
	peers  []bgp.PeerConfig
}

func newGoBGP(log *zap.Logger) *gobgp {
	l := newGoBGPLogger(log)
	return &gobgp{log: l, server: gobgpserver.NewBgpServer(gobgpserver.LoggerOption(l))}
}

// Start implements router. GoBGP's Serve has no end; it goes with the
// process.
func (g *gobgp) Start(cfg bgp.Config) error {
	go g.server.Serve()
	ctx := context.Background()
	global := &api.Global{Asn: cfg.ASN, RouterId: cfg.RouterID.String(), ListenPort: activeOnly}
	for _, a := range cfg.Listen {
		global.ListenPort = bgpPort
		global.ListenAddresses = append(global.ListenAddresses, a.String())
	}
	if err := g.server.StartBgp(ctx, &api.StartBgpRequest{Global: global}); err != nil {
		return err
	}
	g.peers = cfg.Peers
	return g.installPolicies(ctx, cfg)
}

// Open implements router.
func (g *gobgp) Open(p bgp.PeerConfig) error {
	if err := g.server.AddPeer(context.Background(), &api.AddPeerRequest{Peer: peer(p)}); err != nil {
		return fmt.Errorf("peer %s: %w", p.Address, err)
	}
	if g.log.md5Failed.Load() {
		return &refusedError{fmt.Sprintf("peer %s: %v", p.Address, errMD5)}
	}
	return nil
}

// peer translates one router. What is left out is left out on purpose:
// no graceful restart, as the routers must not keep paths to a node that
// is gone, and no prefix limit, as GoBGP meets it by closing the session,
// which would take our announcements away for a router's mistake.
func peer(p bgp.PeerConfig) *api.Peer {
	hold := uint64(p.Hold() / time.Second)
	out := &api.Peer{
		Conf:      &api.PeerConf{NeighborAddress: p.Address.String(), PeerAsn: p.ASN, AuthPassword: p.Password},
		Transport: &api.Transport{PassiveMode: p.Passive},
		Timers: &api.Timers{Config: &api.TimersConfig{
			HoldTime: hold, KeepaliveInterval: hold / 3,
			ConnectRetry: connectRetry, IdleHoldTimeAfterReset: idleHoldAfterReset,
		}},
		AfiSafis: []*api.AfiSafi{{Config: &api.AfiSafiConfig{Family: family(p.Address), Enabled: true}}},
	}
	if p.AddPath {
		out.AfiSafis[0].AddPaths = &api.AddPaths{Config: &api.AddPathsConfig{SendMax: addPathMax}}
	}
	switch {
	case p.Multihop > 0:
		out.EbgpMultihop = &api.EbgpMultihop{Enabled: true, MultihopTtl: uint32(p.Multihop)}
	case !p.NoTTLSecurity:
		out.TtlSecurity = &api.TtlSecurity{Enabled: true, TtlMin: 255}
	}
	return out
}

// Announce implements router.
func (g *gobgp) Announce(prefix netip.Prefix, a announcement) error {
	p, err := path(prefix, a)
	if err != nil {
		return err
	}
	_, err = g.server.AddPath(context.Background(), &api.AddPathRequest{TableType: api.TableType_GLOBAL, Path: p})
	return err
}

// Withdraw implements router.
func (g *gobgp) Withdraw(prefix netip.Prefix, a announcement) error {
	p, err := path(prefix, a)
	if err != nil {
		return err
	}
	return g.server.DeletePath(context.Background(), &api.DeletePathRequest{TableType: api.TableType_GLOBAL, Path: p})
}

// path translates one announcement; the unspecified next hop stands for
// the session's own address. Prepends are done on export, see exports.
func path(prefix netip.Prefix, a announcement) (*api.Path, error) {
	attrs := a.Attrs
	var errs []error
	pack := func(m proto.Message) *anypb.Any {
		a, err := anypb.New(m)
		errs = append(errs, err)
		return a
	}
	fam := family(prefix.Addr())
	nlri := pack(&api.IPAddressPrefix{Prefix: prefix.Addr().String(), PrefixLen: uint32(prefix.Bits())})
	pattrs := []*anypb.Any{pack(&api.OriginAttribute{})}
	if prefix.Addr().Is4() {
		pattrs = append(pattrs, pack(&api.NextHopAttribute{NextHop: "0.0.0.0"}))
	} else {
		pattrs = append(pattrs, pack(&api.MpReachNLRIAttribute{Family: fam, NextHops: []string{"::"}, Nlris: []*anypb.Any{nlri}}))
	}
	if med, sent := attrs.FinalMED(); sent {
		pattrs = append(pattrs, pack(&api.MultiExitDiscAttribute{Med: med}))
	}
	if attrs.LocalPref != 0 {
		pattrs = append(pattrs, pack(&api.LocalPrefAttribute{LocalPref: attrs.LocalPref}))
	}
	if len(attrs.Communities) > 0 {
		communities := make([]uint32, len(attrs.Communities))
		for i, c := range attrs.Communities {
			communities[i] = uint32(c)
		}
		pattrs = append(pattrs, pack(&api.CommunitiesAttribute{Communities: communities}))
	}
	var large []*api.LargeCommunity
	for _, c := range slices.Concat(attrs.Large, marks(a.Rung, attrs.Prepend)) {
		large = append(large, &api.LargeCommunity{GlobalAdmin: c.Global, LocalData1: c.Local1, LocalData2: c.Local2})
	}
	pattrs = append(pattrs, pack(&api.LargeCommunitiesAttribute{Communities: large}))
	return &api.Path{Family: fam, Nlri: nlri, Pattrs: pattrs}, errors.Join(errs...)
}

// Status implements router.
func (g *gobgp) Status() (prefixes int, peers []bgp.PeerStatus, err error) {
	ctx := context.Background()
	for _, fam := range []*api.Family{family(netip.IPv4Unspecified()), family(netip.IPv6Unspecified())} {
		t, err := g.server.GetTable(ctx, &api.GetTableRequest{TableType: api.TableType_GLOBAL, Family: fam})
		if err != nil {
			return 0, nil, fmt.Errorf("read the table: %w", err)
		}
		prefixes += int(t.NumDestination)
	}
	found := make(map[string]*api.Peer, len(g.peers))
	err = g.server.ListPeer(ctx, &api.ListPeerRequest{}, func(p *api.Peer) { found[p.Conf.NeighborAddress] = p })
	if err != nil {
		return 0, nil, fmt.Errorf("read the sessions: %w", err)
	}
	for _, p := range g.peers {
		peers = append(peers, peerStatus(p, found[p.Address.String()]))
	}
	return prefixes, peers, nil
}

func peerStatus(cfg bgp.PeerConfig, p *api.Peer) bgp.PeerStatus {
	out := bgp.PeerStatus{Address: cfg.Address, ASN: cfg.ASN}
	switch p.GetState().GetSessionState() {
	case api.PeerState_CONNECT:
		out.State = bgp.Connect
	case api.PeerState_ACTIVE:
		out.State = bgp.Active
	case api.PeerState_OPENSENT:
		out.State = bgp.OpenSent
	case api.PeerState_OPENCONFIRM:
		out.State = bgp.OpenConfirm
	case api.PeerState_ESTABLISHED:
		out.State = bgp.Established
		out.Since = p.GetTimers().GetState().GetUptime().AsTime()
	default: // idle, which is the zero value
	}
	received := p.GetState().GetMessages().GetReceived()
	out.Updates = received.GetUpdate() + received.GetDiscarded()
	for _, a := range p.GetAfiSafis() {
		out.Received += a.GetState().GetReceived()
	}
	return out
}

// Stop implements router. Nobody waits for a StopBgp that hangs; the
// process is about to end.
func (g *gobgp) Stop(message string) {
	if message != "" {
		g.farewell(message)
	}
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		if err := g.server.StopBgp(context.Background(), &api.StopBgpRequest{}); err != nil {
			g.log.log.Warn("stop BGP", zap.Error(err))
		}
	}()
	select {
	case <-stopped:
	case <-time.After(stopLimit):
		g.log.log.Warn("GoBGP does not stop; the end of the process ends its sessions", zap.Duration("limit", stopLimit))
	}
}

// farewell ends each session with the reason, and waits until they are
// over: StopBgp would overtake it with a reason of its own.
func (g *gobgp) farewell(message string) {
	ctx, cancel := context.WithTimeout(context.Background(), farewellLimit)
	defer cancel()
	message = cut(message)
	for _, p := range g.peers {
		err := g.server.DisablePeer(ctx, &api.DisablePeerRequest{Address: p.Address.String(), Communication: message})
		if err != nil {
			g.log.log.Warn("end session", zap.Stringer("peer", p.Address), zap.Error(err))
		}
	}
	look := time.NewTicker(5 * time.Millisecond)
	defer look.Stop()
	for g.anyEstablished() {
		select {
		case <-look.C:
		case <-ctx.Done():
			return
		}
	}
}

func (g *gobgp) anyEstablished() bool {
	_, peers, err := g.Status()
	for _, p := range peers {
		if p.State == bgp.Established {
			return true
		}
	}
	return err != nil
}

// cut shortens a message to what GoBGP sends, between two characters.
func cut(message string) string {
	if len(message) <= maxMessage {
		return message
	}
	end := maxMessage
	for end > 0 && !utf8.RuneStart(message[end]) {
		end--
	}
	return message[:end]
}

func family(a netip.Addr) *api.Family {
	if a.Is4() {
		return &api.Family{Afi: api.Family_AFI_IP, Safi: api.Family_SAFI_UNICAST}
	}
	return &api.Family{Afi: api.Family_AFI_IP6, Safi: api.Family_SAFI_UNICAST}
}
