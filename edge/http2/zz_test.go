package http2

import (
	"fmt"
	"testing"
	"os"
	"net"
	"context"
	"github.com/landfall-cdn/landfall/edge/exchange"
)

func TestZZServe(t *testing.T) {
	addr := os.Getenv("ZZ")
	if addr == "" { t.Skip("needs ZZ") }
	h := &stub{stored: map[string]*exchange.Stored{"/1k": object(1024), "/16k": object(16384), "/1m": object(1<<20), "/100k": object(100_000)}}
	s, c := testServer(t, h, nil)
	_ = c
	ln, err := net.Listen("tcp", addr)
	if err != nil { t.Fatal(err) }
	fmt.Println(ln.Addr())
	for {
		nc, err := ln.Accept()
		if err != nil { return }
		go serveTLS(context.Background(), s, nc)
	}
}
