package node

import (
	"encoding/json"
	"net/http"
	"time"
)

// serveECH says what belongs into the HTTPS records of the names that
// clients may ask for in secret (RFC 9848).
func (n *Node) serveECH(w http.ResponseWriter, _ *http.Request) {
	if n.ech == nil {
		http.Error(w, `{"error": "tls.ech is not in the node file"}`, http.StatusNotFound)
		return
	}
	now := time.Now()
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	_ = json.NewEncoder(w).Encode(map[string]any{ // a client that left needs no answer
		"public_name": n.ech.PublicName(), "config_list": n.ech.ConfigList(now), "until": n.ech.Rotation(now),
	})
}
