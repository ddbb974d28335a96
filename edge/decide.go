package edge

import (
	"net/http"
	"strconv"
	"strings"

	"go.uber.org/zap"

	"github.com/landfall-cdn/landfall/cache"
	"github.com/landfall-cdn/landfall/edge/exchange"
	"github.com/landfall-cdn/landfall/edge/site"
)

// answer is a response that the edge makes itself.
type answer struct {
	status   int
	location string
	text     string
}

// challengePath is where an ACME server looks (RFC 8555, 8.3).
const challengePath = "/.well-known/acme-challenge/"

// decide applies what the site says before the cache has its turn: either
// an answer of our own, or the policy for the cache.
func (s *Server) decide(st *site.Site, r *exchange.Request, log *zap.Logger) (*cache.Policy, *answer) {
	if r.Scheme == "http" {
		if a := s.challenge(r); a != nil {
			return nil, a
		}
		if !st.ServePlain {
			return nil, &answer{status: http.StatusPermanentRedirect, location: s.secure(r)}
		}
	}
	policy := &st.Cache
	if r.Upgrade != "" {
		policy = bypass(policy)
	}
	return s.rules(st, r, policy, log)
}

// rules lets the first met rule of each kind of action decide.
func (s *Server) rules(st *site.Site, r *exchange.Request, policy *cache.Policy, log *zap.Logger) (*cache.Policy, *answer) {
	cached := false
	for i := range st.Rules {
		rule := &st.Rules[i]
		met, err := rule.When.Met(r)
		if err != nil {
			s.met.ruleErrors.Inc()
			log.Debug("condition not evaluated", zap.String("site", st.Name), zap.String("rule", rule.Name), zap.Error(err))
			continue
		}
		switch {
		case !met:
		case rule.Redirect != nil:
			return nil, &answer{status: rule.Redirect.Status, location: rule.Redirect.Target(r)}
		case !cached:
			policy, cached = apply(rule, policy), true
		}
	}
	return policy, nil
}

// apply returns the policy under a rule. Policies are shared: the copy is
// the request's own.
func apply(rule *site.Rule, p *cache.Policy) *cache.Policy {
	if rule.Bypass {
		return bypass(p)
	}
	c := *p
	c.TTL, c.HasTTL = rule.TTL, true
	return &c
}

func bypass(p *cache.Policy) *cache.Policy {
	c := *p
	c.Bypass = true
	return &c
}

func (s *Server) challenge(r *exchange.Request) *answer {
	if s.conf.Challenge == nil || r.Method != http.MethodGet || !strings.HasPrefix(r.Path, challengePath) {
		return nil
	}
	text, ok := s.conf.Challenge(r.Host, r.Path)
	if !ok {
		return nil
	}
	return &answer{status: http.StatusOK, text: text}
}

// secure is the request's own URL under https.
func (s *Server) secure(r *exchange.Request) string {
	host := r.Host
	if strings.Contains(host, ":") {
		host = "[" + host + "]"
	}
	if port := s.conf.HTTPSPort(); port != 443 {
		host += ":" + strconv.Itoa(int(port))
	}
	return "https://" + host + r.Target()
}
