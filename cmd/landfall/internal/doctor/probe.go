package doctor

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"

	"github.com/landfall-cdn/landfall/bgp/speaker"
	"github.com/landfall-cdn/landfall/configs"
)

// Look gathers what there is to know of this machine for a node file. It
// opens no connection; Running is left to who can ask the node.
func Look(ctx context.Context, conf *configs.Node) (*Facts, error) {
	f := &Facts{
		Conf: conf, Routes: map[netip.Addr]Route{}, Ports: map[netip.AddrPort]error{}, MD5: map[netip.Addr]error{}, Secrets: map[string]Secret{},
		LowPorts: lowPortsAllowed(), Clock: clockState(), Files: fileLimit(), State: writable(conf.State),
	}
	var err error
	if f.Addresses, err = addresses(); err != nil {
		return nil, err
	}
	if b := conf.BGP; b != nil {
		for _, a := range b.Listen {
			at := netip.AddrPortFrom(a, 179)
			f.Ports[at] = tryListen(ctx, at)
		}
		for i, p := range b.Peers {
			f.Routes[p.Address] = routeTo(ctx, p.Address)
			if p.Password != nil {
				f.MD5[p.Address] = speaker.CheckMD5(p.Address)
				f.Secrets[fmt.Sprintf("bgp.peers[%d].password", i)] = secretFile(*p.Password)
			}
		}
	}
	if p := conf.Pop; p != nil {
		f.Secrets["pop.secret"] = secretFile(p.Secret)
		for _, hostport := range p.Join {
			host, _, err := net.SplitHostPort(hostport)
			if a, e := netip.ParseAddr(host); err == nil && e == nil {
				f.Routes[a] = routeTo(ctx, a)
			}
		}
		for _, s := range p.Siblings {
			f.Routes[s.Peer.Addr()] = routeTo(ctx, s.Peer.Addr())
		}
	}
	return f, nil
}

func addresses() (out []Address, err error) {
	interfaces, err := net.Interfaces()
	if err != nil {
		return nil, fmt.Errorf("list this machine's interfaces: %w", err)
	}
	for _, i := range interfaces {
		addrs, err := i.Addrs()
		if err != nil {
			return nil, fmt.Errorf("list the addresses of %s: %w", i.Name, err)
		}
		for _, a := range addrs {
			if p, err := netip.ParsePrefix(a.String()); err == nil {
				out = append(out, Address{p, i.Name, i.MTU})
			}
		}
	}
	return out, nil
}

// routeTo asks the kernel: a UDP socket that is connected has a source, and
// has sent nothing.
func routeTo(ctx context.Context, a netip.Addr) Route {
	conn, err := new(net.Dialer).DialContext(ctx, "udp", netip.AddrPortFrom(a, 9).String())
	if err != nil {
		return Route{Err: cause(err)}
	}
	defer conn.Close()
	if local, ok := conn.LocalAddr().(*net.UDPAddr); ok {
		return Route{Source: local.AddrPort().Addr().Unmap()}
	}
	return Route{}
}

// cause leaves out what the reader knows.
func cause(err error) error {
	var call *os.SyscallError
	if errors.As(err, &call) {
		return call.Err
	}
	return err
}

func tryListen(ctx context.Context, at netip.AddrPort) error {
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", at.String())
	if err != nil {
		return cause(err)
	}
	return l.Close()
}

// writable tries to make a file in a folder, or in the first above it that
// there is: the node makes the rest.
func writable(dir string) error {
	for {
		info, err := os.Stat(dir)
		if errors.Is(err, fs.ErrNotExist) && filepath.Dir(dir) != dir {
			dir = filepath.Dir(dir)
			continue
		}
		if err == nil && !info.IsDir() {
			err = fmt.Errorf("%s is no folder", dir)
		}
		if err != nil {
			return err
		}
		f, err := os.CreateTemp(dir, ".doctor-")
		if err != nil {
			return err
		}
		return errors.Join(f.Close(), os.Remove(f.Name()))
	}
}

func secretFile(s configs.Secret) Secret {
	info, err := os.Stat(s.File)
	if err == nil {
		_, err = s.Read()
	}
	if err != nil {
		return Secret{Err: errors.New(strings.TrimSpace(err.Error()))}
	}
	return Secret{Mode: info.Mode()}
}
