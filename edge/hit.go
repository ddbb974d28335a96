package edge

import (
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/landfall-cdn/landfall/cache"
	"github.com/landfall-cdn/landfall/edge/exchange"
	"github.com/landfall-cdn/landfall/edge/site"
)

// Hit implements exchange.Handler: the way of a request that is answered
// from memory, in the order of ServeExchange. What would need more than a
// look, such as a rule, a range or a condition, is left to ServeExchange.
func (s *Server) Hit(r *exchange.Request, h *exchange.Stored) bool {
	// An IPv6 literal loses its brackets in admit, which a second time would
	// not take it for one.
	if strings.HasPrefix(r.Host, "[") || s.admit(r) != exchange.Admitted || r.Asked > exchange.AskStored {
		return false
	}
	sites := s.sites.Load()
	st, why := find(sites.table, r)
	if why != exchange.Admitted || !plainly(st, r) {
		return false
	}
	kept, ok := s.store.Hit(r, &st.Cache, h.Room[:])
	if !ok {
		return false
	}
	if h.Head = kept.Memo.Load(); h.Head == nil {
		h.Head = headOf(&kept)
		kept.Memo.Store(h.Head)
	}
	if h.Content = kept.Content; r.Method == http.MethodHead {
		h.Content.Release()
		h.Content = nil
	}
	h.Copy, h.FirstByte, h.Note = kept.Copy(), atOnce, sites.met[st]
	if kept.Length > sentAtOnce {
		h.FirstByte = time.Since(r.Arrived)
	}
	s.write(r, h, kept.Age)
	return true
}

// sentAtOnce is the length of content whose last byte leaves with the first:
// for longer ones the clock is read once more.
const sentAtOnce = 16 << 10

// plainly reports whether nothing but the store decides about a request.
func plainly(st *site.Site, r *exchange.Request) bool {
	if len(st.Rules) > 0 || r.Scheme == "http" && (!st.ServePlain || strings.HasPrefix(r.Path, challengePath)) {
		return false
	}
	for i := range r.Header {
		switch r.Header[i].Name {
		case "range", "if-match", "if-none-match", "if-modified-since", "if-unmodified-since":
			return false
		}
	}
	return true
}

// headOf makes what a stored response says to every client.
func headOf(kept *cache.Fresh) *exchange.Head {
	h := make(exchange.Header, 0, len(kept.Header)+2)
	for _, f := range kept.Header {
		if f.Name != "alt-svc" && f.Name != "x-request-id" {
			h = append(h, f)
		}
	}
	theirs := len(h)
	h.Add("via", "1.1 "+Name)
	if kept.Status == http.StatusOK && !h.Has("accept-ranges") {
		h.Add("accept-ranges", "bytes")
	}
	return &exchange.Head{Status: kept.Status, Header: h, Length: kept.Length, Own: len(h) - theirs}
}

// write puts this response's own fields into its room.
func (s *Server) write(r *exchange.Request, h *exchange.Stored, age time.Duration) {
	room := h.Room[:0]
	h.Own = h.Fields[:0]
	end := func(name string, from int) {
		h.Own = append(h.Own, exchange.Field{Name: name, Value: exchange.Borrowed(room[from:])})
	}
	room = strconv.AppendInt(room, int64(age/time.Second), 10)
	end("age", 0)
	at := len(room)
	status := cache.Status{Hit: true, TTL: h.Copy.Fresh, HasTTL: true}
	room = status.Append(room, Name, false)
	end("cache-status", at)
	if r.Relayed() {
		return // the node that the client is at adds the rest
	}
	at = len(room)
	room = s.ids.append(room)
	r.ID = exchange.Borrowed(room[at:])
	end("x-request-id", at)
	if r.TLS != nil && r.Proto != exchange.HTTP3 {
		at = len(room)
		room = appendAltSvc(room, r.Local.Port())
		end("alt-svc", at)
	}
}

// appendAltSvc appends the Alt-Svc that sends clients to HTTP/3 (RFC 7838).
func appendAltSvc(dst []byte, port uint16) []byte {
	dst = strconv.AppendUint(append(dst, `h3=":`...), uint64(port), 10)
	return append(dst, `"; ma=86400`...)
}

// Sent implements exchange.Handler.
func (s *Server) Sent(r *exchange.Request, h *exchange.Stored, n int64, why exchange.Cause) {
	a := account{
		outcome: exchange.Hit, status: h.Head.Status, ttl: int64(h.Copy.Fresh / time.Second), hasTTL: true,
		sent: n, cause: why, firstByte: h.FirstByte,
	}
	s.settle(r, h.Note.(*siteMetrics), &a)
}
