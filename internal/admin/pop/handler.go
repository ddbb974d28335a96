package pop

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
)

// maxBody bounds the body of a request, in bytes.
const maxBody = 4 << 10

// maxKey bounds a key or URL to locate, in bytes.
const maxKey = 16 << 10

// Failure is the body of every answer that is no success.
type Failure struct {
	Error string `json:"error"`
}

// Nodes is the answer to GET /v1/nodes.
type Nodes struct {
	Nodes []Node `json:"nodes"`
}

// Handler answers what is under /v1/.
func Handler(p Pop) http.Handler {
	h := &handler{p}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /v1/nodes", h.nodes)
	mux.HandleFunc("GET /v1/nodes/{name}/plan", h.plan)
	mux.HandleFunc("GET /v1/nodes/{name}/drain", h.progress)
	mux.HandleFunc("POST /v1/nodes/{name}/drain", h.drain)
	mux.HandleFunc("POST /v1/nodes/{name}/undrain", h.undrain)
	h.routes(mux)
	mux.HandleFunc("GET /v1/ring", h.ring)
	mux.HandleFunc("GET /v1/ring/locate", h.locate)
	mux.HandleFunc("/v1/", func(w http.ResponseWriter, r *http.Request) {
		answer(w, http.StatusNotFound, Failure{fmt.Sprintf("%s %s is not known here", r.Method, r.URL.Path)})
	})
	return mux
}

// handler turns requests into calls.
type handler struct {
	pop Pop // static
}

func (h *handler) nodes(w http.ResponseWriter, r *http.Request) {
	nodes := h.pop.Nodes(r.Context())
	if nodes == nil {
		nodes = []Node{}
	}
	answer(w, http.StatusOK, Nodes{nodes})
}

func (h *handler) plan(w http.ResponseWriter, r *http.Request) {
	plan, err := h.makePlan(r.Context(), r.PathValue("name"))
	if err != nil {
		fail(w, err)
		return
	}
	answer(w, http.StatusOK, plan)
}

// makePlan says what a drain would change: in the table, and in the routes.
func (h *handler) makePlan(ctx context.Context, name string) (Plan, error) {
	plan, err := MakePlan(h.pop.Nodes(ctx), name)
	if err != nil {
		return plan, err
	}
	if plan.Node.Announce != AnnounceNone && plan.Node.Announce != Unknown {
		routes, err := h.pop.PlanRoutes(ctx, name, false)
		if err != nil {
			return plan, err
		}
		plan.Routes = &routes
	}
	return plan, nil
}

func (h *handler) progress(w http.ResponseWriter, r *http.Request) {
	p, err := h.pop.Progress(r.Context(), r.PathValue("name"))
	if err != nil {
		fail(w, err)
		return
	}
	answer(w, http.StatusOK, p)
}

// drain refuses what the plan refuses, whoever asks. Interlocks of the
// announcement are judged by the node itself, which knows what is overridden.
func (h *handler) drain(w http.ResponseWriter, r *http.Request) {
	name := r.PathValue("name")
	d, err := readDeparture(r.Body)
	if err != nil {
		answer(w, http.StatusBadRequest, Failure{err.Error()})
		return
	}
	plan, err := h.makePlan(r.Context(), name)
	if err == nil && plan.Refused != "" {
		err = fmt.Errorf("%w: %s", ErrRefused, plan.Refused)
	}
	if err == nil {
		err = h.pop.Drain(r.Context(), name, d)
	}
	if err != nil {
		fail(w, err)
		return
	}
	answer(w, http.StatusAccepted, plan)
}

func (h *handler) undrain(w http.ResponseWriter, r *http.Request) {
	if err := h.pop.Undrain(r.Context(), r.PathValue("name")); err != nil {
		fail(w, err)
		return
	}
	answer(w, http.StatusOK, struct{}{})
}

func (h *handler) ring(w http.ResponseWriter, _ *http.Request) {
	ring := h.pop.Ring()
	if ring.Members == nil {
		ring.Members = []Member{}
	}
	answer(w, http.StatusOK, ring)
}

func (h *handler) locate(w http.ResponseWriter, r *http.Request) {
	key := r.URL.Query().Get("key")
	if key == "" || len(key) > maxKey {
		answer(w, http.StatusBadRequest, Failure{fmt.Sprintf("give the key or the URL as ?key=, escaped, with at most %d bytes", maxKey)})
		return
	}
	l, err := h.pop.Locate(key)
	if err != nil {
		fail(w, err)
		return
	}
	if l.Previous == nil {
		l.Previous = []Ref{}
	}
	answer(w, http.StatusOK, l)
}

// fail answers with what an error means to the one who asked.
func fail(w http.ResponseWriter, err error) {
	status := http.StatusInternalServerError
	for _, e := range []struct {
		err    error
		status int
	}{
		{ErrNoNode, http.StatusNotFound},
		{ErrBadKey, http.StatusBadRequest},
		{ErrRefused, http.StatusConflict},
		{ErrNotHeard, http.StatusBadGateway},
	} {
		if errors.Is(err, e.err) {
			status = e.status
		}
	}
	answer(w, status, Failure{err.Error()})
}

// strict reads one JSON value, and nothing that v has no place for.
func strict(data []byte, v any) error {
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	if err := dec.Decode(v); err != nil {
		return err
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return errors.New("something follows it")
	}
	return nil
}

func answer(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	_ = enc.Encode(v) // a client that left needs no answer
}
