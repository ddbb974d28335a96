package main

import (
	"context"
	"fmt"
	"strings"
)

// kind is a way to load a server.
type kind struct {
	name, about string
	// proto is what the answers are compared over before anything is
	// measured: h1, h2 or h3.
	proto string
	// base is the server that ratios refer to.
	base string
	// first says that only the first object is asked for: the kind is
	// about connections, or leaves an object behind for each request.
	first bool
	// relayed says that the server is one that relays every request to
	// another, which has the answer; both are measured.
	relayed bool
	// load is the method of generators that drives the server for one
	// window; nil for kinds that hold idle connections.
	load loadFunc
}

type loadFunc func(g generators, ctx context.Context, s *server, path string) (load, error)

// kinds are all there are.
func kinds() []kind {
	return []kind{
		{name: "h1", about: "hits, 64 connections kept alive (wrk)", proto: "h1", base: nginxName, load: generators.wrk},
		{name: "h2", about: "hits, 16 connections of 16 streams (h2load)", proto: "h2", base: nginxName, load: generators.h2load},
		{name: "h3", about: "hits, 8 connections of 16 streams; the base is caddy, serving files", proto: "h3", base: caddyName, load: client("-mode", "h3", "-c", "8", "-m", "16")},
		{name: "hs", about: "a connection for each request, X25519", proto: "h1", base: nginxName, first: true, load: client("-mode", "hs", "-c", "8")},
		{name: "hs-resume", about: "the same, resumed with a ticket", proto: "h1", base: nginxName, first: true, load: client("-mode", "hs", "-c", "8", "-resume")},
		{name: "hs-mlkem", about: "a connection for each request, X25519MLKEM768", proto: "h1", base: caddyName, first: true, load: client("-mode", "hs", "-c", "8", "-mlkem")},
		{name: "miss", about: "a URL of its own for each request, 16 connections kept alive", proto: "h1", base: nginxName, first: true, load: client("-mode", "miss", "-c", "16")},
		{name: "relayed-h1", about: "hits of another node, 64 connections kept alive (wrk), CPU of both nodes", proto: "h1", base: nginxName, relayed: true, load: generators.wrkList},
		{name: "relayed-h2", about: "hits of another node, 16 connections of 16 streams, CPU of both nodes", proto: "h2", base: nginxName, relayed: true, load: generators.clientList},
		{name: "idle-h1", about: "bytes per idle HTTP/1.1 connection", proto: "h1", base: nginxName, first: true},
		{name: "idle-h2", about: "bytes per idle HTTP/2 connection", proto: "h2", base: nginxName, first: true},
	}
}

func client(args ...string) loadFunc {
	return func(g generators, ctx context.Context, s *server, path string) (load, error) {
		return g.client(ctx, s, path, args)
	}
}

func kindsHelp() string {
	var b strings.Builder
	for _, k := range kinds() {
		fmt.Fprintf(&b, "  %-10s %s\n", k.name, k.about)
	}
	return strings.TrimSuffix(b.String(), "\n")
}
