package pop

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"
)

// Routes is what the handlers ask of a node about announcements.
type Routes interface {
	// PlanRoutes judges a drain of a node, or of its whole PoP, without
	// doing anything.
	PlanRoutes(ctx context.Context, name string, wide bool) (RoutePlan, error)
	// ChangeRoutes has a node announce itself another way. It returns once
	// that is on its way to the routers.
	ChangeRoutes(ctx context.Context, name string, c Change) error
	// DrainPop has all nodes of the PoP go, all or none.
	DrainPop(ctx context.Context, d Departure) error
	// UndrainPop takes all back.
	UndrainPop(ctx context.Context) error
	// PrependPop makes the paths to all nodes of the PoP longer.
	PrependPop(ctx context.Context, n int, reason string) error
	// BGP returns a node's sessions and announcements.
	BGP(ctx context.Context, name string) (BGP, error)
}

// Departure is how a drain goes.
type Departure struct {
	// Deadline is how long sessions may stay, Converge how long new
	// connections may take to cease once routers know.
	Deadline, Converge time.Duration
	Reason             string
	Overrides
}

// Overrides are interlocks that are to pass, for a time.
type Overrides struct {
	Names []string
	For   time.Duration
}

// Change is what is to be another way about a node's announcement.
type Change struct {
	// Rung is normal, deprefer or withdrawn; "" leaves it.
	Rung   string
	Reason string
	Overrides
}

// The bounds of times in orders, and what holds unless one is given.
const (
	MinDeadline     = time.Second
	MaxDeadline     = 24 * time.Hour
	DefaultDeadline = 10 * time.Minute
	DefaultConverge = 2 * time.Minute
	DefaultOverride = 10 * time.Minute
)

// MaxReason bounds a reason, in bytes.
const MaxReason = 256

// OrderRequest is the body of every order about a node or the PoP. Each
// order takes its part of it.
type OrderRequest struct {
	Deadline    string   `json:"deadline,omitempty"`     // of a drain, such as "10m"
	Converge    string   `json:"converge,omitempty"`     // of a drain
	Rung        string   `json:"rung,omitempty"`         // of a change
	Prepend     *int     `json:"prepend,omitempty"`      // of a PoP
	Reason      string   `json:"reason,omitempty"`       // needed with Override
	Override    []string `json:"override,omitempty"`     // names of interlocks
	OverrideFor string   `json:"override_for,omitempty"` // how long they pass
}

// RoutePlan is what a step down means for the announcement.
type RoutePlan struct {
	// Now and After count nodes that announce, by PoP.
	Now   map[string]int `json:"announcers_now"`
	After map[string]int `json:"announcers_after"`
	// Refusals are the interlocks in its way, Passed those that are not.
	Refusals []Refusal `json:"refusals"`
	Passed   []string  `json:"passed"`
	Prefixes []string  `json:"prefixes"`
}

// Refusal is an interlock that is in the way.
type Refusal struct {
	Interlock string `json:"interlock"`
	Reason    string `json:"reason"`
}

// BGP is a node's sessions and announcements.
type BGP struct {
	Node   string  `json:"node"`
	Peers  []Peer  `json:"peers"`
	Routes []Route `json:"routes"`
	// Speaker says what is wrong with the speaker, "" when nothing is.
	Speaker string `json:"speaker,omitempty"`
}

// Peer is a session with a router.
type Peer struct {
	Address  string `json:"address"`
	ASN      uint32 `json:"asn"`
	State    string `json:"state"`
	Seconds  int64  `json:"established_seconds"` // 0 unless it is
	Received uint64 `json:"received_routes"`     // which are ignored
	BFD      string `json:"bfd"`                 // state, "off" without it
	Problem  string `json:"problem,omitempty"`
}

// Route is what one router is told of one prefix.
type Route struct {
	Prefix     string `json:"prefix"`
	Peer       string `json:"peer"`
	Attributes string `json:"attributes"`
}

func (h *handler) routes(mux *http.ServeMux) {
	mux.HandleFunc("POST /v1/nodes/{name}/announce", h.change)
	mux.HandleFunc("GET /v1/nodes/{name}/bgp", h.bgp)
	mux.HandleFunc("GET /v1/pop/plan", h.popPlan)
	mux.HandleFunc("POST /v1/pop/drain", h.popDrain)
	mux.HandleFunc("POST /v1/pop/undrain", h.popUndrain)
	mux.HandleFunc("POST /v1/pop/prepend", h.popPrepend)
}

func (h *handler) change(w http.ResponseWriter, r *http.Request) {
	req, over, err := readOrder(r.Body)
	if err == nil && req.Rung != "normal" && req.Rung != "deprefer" && req.Rung != "withdrawn" {
		err = fmt.Errorf("rung: %q; expected normal, deprefer or withdrawn", req.Rung)
	}
	if err != nil {
		answer(w, http.StatusBadRequest, Failure{err.Error()})
		return
	}
	done(w, h.pop.ChangeRoutes(r.Context(), r.PathValue("name"), Change{Rung: req.Rung, Reason: req.Reason, Overrides: over}))
}

func (h *handler) bgp(w http.ResponseWriter, r *http.Request) {
	b, err := h.pop.BGP(r.Context(), r.PathValue("name"))
	if err != nil {
		fail(w, err)
		return
	}
	answer(w, http.StatusOK, b)
}

// popPlan is judged by the node that is asked: the PoP goes as a whole.
func (h *handler) popPlan(w http.ResponseWriter, r *http.Request) {
	for _, n := range h.pop.Nodes(r.Context()) {
		if !n.Self {
			continue
		}
		plan, err := h.pop.PlanRoutes(r.Context(), n.Name, true)
		if err != nil {
			fail(w, err)
			return
		}
		answer(w, http.StatusOK, plan)
		return
	}
	fail(w, ErrNoNode)
}

func (h *handler) popDrain(w http.ResponseWriter, r *http.Request) {
	d, err := readDeparture(r.Body)
	if err != nil {
		answer(w, http.StatusBadRequest, Failure{err.Error()})
		return
	}
	done(w, h.pop.DrainPop(r.Context(), d))
}

func (h *handler) popUndrain(w http.ResponseWriter, r *http.Request) {
	done(w, h.pop.UndrainPop(r.Context()))
}

func (h *handler) popPrepend(w http.ResponseWriter, r *http.Request) {
	req, _, err := readOrder(r.Body)
	if err == nil && req.Prepend == nil {
		err = fmt.Errorf("prepend: missing; how many times the own AS number is added")
	}
	if err != nil {
		answer(w, http.StatusBadRequest, Failure{err.Error()})
		return
	}
	done(w, h.pop.PrependPop(r.Context(), *req.Prepend, req.Reason))
}

func done(w http.ResponseWriter, err error) {
	if err != nil {
		fail(w, err)
		return
	}
	answer(w, http.StatusOK, struct{}{})
}

// readDeparture reads the body that starts a drain; an empty one has
// everything as it is by default.
func readDeparture(body io.Reader) (Departure, error) {
	req, over, err := readOrder(body)
	if err != nil {
		return Departure{}, err
	}
	d := Departure{Reason: req.Reason, Overrides: over}
	if d.Deadline, err = readTime("deadline", req.Deadline, DefaultDeadline); err != nil {
		return d, err
	}
	d.Converge, err = readTime("converge", req.Converge, min(DefaultConverge, d.Deadline))
	return d, err
}

// readOrder reads an order, and what it overrides.
func readOrder(body io.Reader) (req OrderRequest, over Overrides, err error) {
	data, err := io.ReadAll(io.LimitReader(body, maxBody+1))
	switch {
	case err != nil:
		return req, over, fmt.Errorf("the body cannot be read: %w", err)
	case len(data) > maxBody:
		return req, over, fmt.Errorf("the body has more than %d bytes", maxBody)
	case len(data) == 0:
		return req, over, nil
	}
	if err := strict(data, &req); err != nil {
		return req, over, fmt.Errorf(`the body is not like {"deadline": "10m"}: %w`, err)
	}
	over.Names = req.Override
	if over.For, err = readTime("override_for", req.OverrideFor, DefaultOverride); err != nil {
		return req, over, err
	}
	switch {
	case len(req.Reason) > MaxReason:
		err = fmt.Errorf("reason: %d bytes, at most %d", len(req.Reason), MaxReason)
	case len(over.Names) > 0 && strings.TrimSpace(req.Reason) == "":
		err = fmt.Errorf("reason: missing; say why %s is to pass", strings.Join(over.Names, ", "))
	}
	return req, over, err
}

func readTime(what, text string, unless time.Duration) (time.Duration, error) {
	if text == "" {
		return unless, nil
	}
	d, err := time.ParseDuration(text)
	if err != nil || d < MinDeadline || d > MaxDeadline {
		return 0, fmt.Errorf("%s: %q is not a duration from %v to %v, such as 10m", what, text, MinDeadline, MaxDeadline)
	}
	return d, nil
}
