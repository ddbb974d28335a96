package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"syscall"
	"time"

	"github.com/landfall-cdn/landfall/internal/admin/pop"
)

// defaultAdmin is where a node's admin address is unless its file says
// otherwise.
const defaultAdmin = "127.0.0.1:9080"

// adminFlags are those of the verbs that ask a running node.
type adminFlags struct {
	Admin string `default:"${admin}" placeholder:"ADDRESS" help:"Admin address of the node to ask; any of the PoP knows them all (${default})."`
}

// hint is what a command line needs to ask the same node.
func (f adminFlags) hint() string {
	if f.Admin == defaultAdmin {
		return ""
	}
	return " --admin " + f.Admin
}

const (
	answerTime = 10 * time.Second // for one question to a node
	answerSize = 16 << 20         // bytes of one answer
)

// api asks a node over its admin address.
type api struct {
	addr string
	http *http.Client
}

func (f adminFlags) api(c *console) (*api, error) {
	if _, port, err := net.SplitHostPort(f.Admin); err != nil || port == "" {
		return nil, fmt.Errorf("%w: --admin %s: expected host:port such as %s", errUsage, f.Admin, defaultAdmin)
	}
	return newAPI(f.Admin, c), nil
}

// newAPI asks without a proxy, whatever the environment names: a node's
// admin address is near.
func newAPI(addr string, c *console) *api {
	transport := c.transport
	if transport == nil {
		transport = &http.Transport{DisableKeepAlives: true}
	}
	return &api{addr: addr, http: &http.Client{Transport: transport, Timeout: answerTime}}
}

// get asks for what is at a path, whose elements are escaped.
func (a *api) get(ctx context.Context, path string, out any) error {
	return a.call(ctx, http.MethodGet, path, nil, out)
}

// call asks, and reads the answer into out. What the node refuses is an
// errRefused; no error is a deadline's, which means something else here.
func (a *api) call(ctx context.Context, method, path string, in, out any) error {
	var body io.Reader
	if in != nil {
		b, err := json.Marshal(in)
		if err != nil {
			return err
		}
		body = bytes.NewReader(b)
	}
	req, err := http.NewRequestWithContext(ctx, method, "http://"+a.addr+path, body)
	if err != nil {
		return fmt.Errorf("%w: --admin %s: %v", errUsage, a.addr, err) //nolint:errorlint // one cause is enough
	}
	resp, err := a.http.Do(req)
	if err != nil {
		return a.unreached(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(io.LimitReader(resp.Body, answerSize))
	if err != nil {
		return a.unreached(err)
	}
	if resp.StatusCode < 200 || resp.StatusCode > 299 {
		return a.failure(resp.StatusCode, b)
	}
	if err := json.Unmarshal(b, out); err != nil {
		return fmt.Errorf("%s gave an answer that is none of a Landfall node of this version: %w", a.addr, err)
	}
	return nil
}

// unreached says why a node could not be asked. The cause is not wrapped: it
// may be a timeout, which is no deadline of ours.
func (a *api) unreached(err error) error {
	var u *url.Error
	if errors.As(err, &u) {
		err = u.Err
	}
	if errors.Is(err, syscall.ECONNREFUSED) {
		return fmt.Errorf("no node has its admin address at %s; start one, or name it with --admin", a.addr)
	}
	return errors.New("the node at " + a.addr + " cannot be asked: " + err.Error())
}

// failure is what an answer without success means.
func (a *api) failure(status int, body []byte) error {
	var f pop.Failure
	if json.Unmarshal(body, &f) != nil || f.Error == "" {
		f.Error = http.StatusText(status)
	}
	switch status {
	case http.StatusBadRequest, http.StatusNotFound, http.StatusConflict, http.StatusForbidden:
		return fmt.Errorf("%w by %s: %s", errRefused, a.addr, strings.TrimPrefix(f.Error, "refused: "))
	}
	return fmt.Errorf("the node at %s: %s", a.addr, f.Error)
}

// nodePath is the path of something of a node.
func nodePath(name, what string) string { return "/v1/nodes/" + url.PathEscape(name) + "/" + what }
