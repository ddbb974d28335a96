package demo

import (
	"crypto/rand"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// answer is the JSON that says when and how often the origin was asked:
// the edge's cache works when Made stays and Answer does not grow.
type answer struct {
	Origin string    `json:"origin"`
	Answer uint64    `json:"answer"` // of this origin since its start, counted from 1
	Made   time.Time `json:"made"`
	Note   string    `json:"note"`
}

func (o *Origin) answer(note string) answer {
	return answer{Origin: o.name, Answer: o.answers.Add(1), Made: time.Now().UTC().Truncate(time.Millisecond), Note: note}
}

// time is fresh for ?ttl= seconds.
func (o *Origin) time(w http.ResponseWriter, r *http.Request) {
	ttl, err := number(r.FormValue("ttl"), param{name: "ttl", fallback: 10, most: maxTTL})
	if err != nil {
		refuse(w, http.StatusBadRequest, "%v", err)
		return
	}
	w.Header().Set("Cache-Control", fresh(ttl))
	writeJSON(w, http.StatusOK, o.answer(fmt.Sprintf("fresh for %d s", ttl)))
}

// stale is fresh for a second and may be used for 30 more while the edge
// asks again (RFC 5861).
func (o *Origin) stale(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Cache-Control", "public, max-age=1, stale-while-revalidate=30")
	writeJSON(w, http.StatusOK, o.answer("fresh for 1 s, then stale for up to 30 s while it is renewed"))
}

// now is never stored.
func (o *Origin) now(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Cache-Control", "no-store")
	writeJSON(w, http.StatusOK, o.answer("never stored"))
}

// greetings are the variants of /vary; the first is for everybody else.
var greetings = []struct{ lang, text string }{
	{"en", "Land ahoy!"},
	{"de", "Land in Sicht!"},
	{"es", "¡Tierra a la vista!"},
	{"fr", "Terre en vue !"},
	{"ja", "陸が見えたぞ!"},
}

// vary has one variant for each language.
func (o *Origin) vary(w http.ResponseWriter, r *http.Request) {
	best := greetings[0]
	for _, lang := range preferred(r.Header.Get("Accept-Language")) {
		i := slices.IndexFunc(greetings, func(g struct{ lang, text string }) bool { return g.lang == lang })
		if i >= 0 {
			best = greetings[i]
			break
		}
	}
	h := w.Header()
	h.Set("Vary", "Accept-Language")
	h.Set("Content-Language", best.lang)
	h.Set("Cache-Control", fresh(60))
	writeJSON(w, http.StatusOK, o.answer(best.text))
}

// preferred returns the primary languages of an Accept-Language field
// (RFC 9110, 12.5.4), best first; elements it cannot read are left out.
func preferred(field string) []string {
	type choice struct {
		lang   string
		weight float64
	}
	var choices []choice
	for element := range strings.SplitSeq(field, ",") {
		tag, params, _ := strings.Cut(element, ";")
		lang, _, _ := strings.Cut(strings.ToLower(strings.TrimSpace(tag)), "-")
		weight := 1.0
		if q, ok := strings.CutPrefix(strings.TrimSpace(params), "q="); ok {
			var err error
			if weight, err = strconv.ParseFloat(q, 64); err != nil {
				continue
			}
		}
		if lang != "" && weight > 0 {
			choices = append(choices, choice{lang, weight})
		}
	}
	slices.SortStableFunc(choices, func(a, b choice) int {
		switch {
		case a.weight > b.weight:
			return -1
		case a.weight < b.weight:
			return 1
		}
		return 0
	})
	langs := make([]string, len(choices))
	for i, c := range choices {
		langs[i] = c.lang
	}
	return langs
}

// setCookie gives a session to whoever has none, for a site with
// `affinity: {by: cookie, name: session}`.
func (o *Origin) setCookie(w http.ResponseWriter, r *http.Request) {
	note := "you have kept your session"
	if _, err := r.Cookie("session"); err != nil {
		http.SetCookie(w, &http.Cookie{
			Name: "session", Value: rand.Text(), Path: "/", MaxAge: 3600,
			HttpOnly: true, SameSite: http.SameSiteLaxMode,
		})
		note = "you have a new session"
	}
	w.Header().Set("Cache-Control", "no-store")
	writeJSON(w, http.StatusOK, o.answer(note))
}

// headers shows the request as it reached the origin. Fields are sorted:
// net/http does not keep their order.
func (o *Origin) headers(w http.ResponseWriter, r *http.Request) {
	type field struct {
		Name  string `json:"name"`
		Value string `json:"value"`
	}
	fields := []field{{"Host", r.Host}}
	for name, values := range r.Header {
		for _, v := range values {
			fields = append(fields, field{name, v})
		}
	}
	slices.SortStableFunc(fields, func(a, b field) int { return strings.Compare(a.Name, b.Name) })
	w.Header().Set("Cache-Control", "no-store")
	writeJSON(w, http.StatusOK, struct {
		answer
		Method string  `json:"method"`
		Target string  `json:"target"`
		Proto  string  `json:"proto"`
		Fields []field `json:"fields"`
	}{o.answer("what reached the origin"), r.Method, r.RequestURI, r.Proto, fields})
}

// status answers with the status that is asked for; ?ttl= makes it
// cacheable.
func (o *Origin) status(w http.ResponseWriter, r *http.Request) {
	code, err := number(r.PathValue("code"), param{name: "status", least: 200, most: 599})
	if err != nil {
		refuse(w, http.StatusBadRequest, "%v", err)
		return
	}
	ttl, err := number(r.FormValue("ttl"), param{name: "ttl", most: maxTTL})
	if err != nil {
		refuse(w, http.StatusBadRequest, "%v", err)
		return
	}
	h := w.Header()
	switch {
	case code == http.StatusPartialContent:
		refuse(w, http.StatusBadRequest, "206 takes a range: ask /bytes/1000 with Range")
		return
	case code == http.StatusUnauthorized:
		h.Set("WWW-Authenticate", `Demo realm="nobody can log in here"`)
	case code == http.StatusMethodNotAllowed:
		h.Set("Allow", "GET, HEAD")
	case code >= 300 && code < 400 && code != http.StatusNotModified:
		h.Set("Location", "/")
	}
	h.Set("Cache-Control", fresh(ttl))
	if code == http.StatusNoContent || code == http.StatusNotModified {
		w.WriteHeader(code)
		return
	}
	writeJSON(w, code, o.answer(http.StatusText(code)))
}

func (o *Origin) notFound(w http.ResponseWriter, r *http.Request) {
	refuse(w, http.StatusNotFound, "nothing here; /text lists what there is")
}

// fresh returns the Cache-Control of an answer that lives ttl seconds.
func fresh(ttl int) string {
	if ttl == 0 {
		return "no-store"
	}
	return "public, max-age=" + strconv.Itoa(ttl)
}

// param is a number that a request may give.
type param struct {
	name        string
	fallback    int // when nothing is given
	least, most int
}

// number reads a parameter. Out of bounds is an error, never a nearest
// value: who asks for a day should not think it got one.
func number(s string, p param) (int, error) {
	if s == "" {
		return p.fallback, nil
	}
	n, err := strconv.Atoi(s)
	if err != nil || n < p.least || n > p.most {
		return 0, fmt.Errorf("%s must be a whole number from %d to %d", p.name, p.least, p.most)
	}
	return n, nil
}

// writeJSON answers with one line of JSON.
func writeJSON(w http.ResponseWriter, status int, v any) {
	data, err := json.Marshal(v)
	if err != nil {
		refuse(w, http.StatusInternalServerError, "the answer cannot be written: %v", err)
		return
	}
	data = append(data, '\n')
	w.Header().Set("Content-Type", typeJSON)
	w.Header().Set("Content-Length", strconv.Itoa(len(data)))
	w.WriteHeader(status)
	// A write fails when the reader has gone, and then there is nobody to tell.
	_, _ = w.Write(data)
}

// refuse answers with one sentence that no cache keeps.
func refuse(w http.ResponseWriter, status int, format string, args ...any) {
	w.Header().Set("Cache-Control", "no-store")
	http.Error(w, fmt.Sprintf(format, args...), status)
}
