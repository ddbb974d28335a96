package issue

import (
	"context"
	"crypto/ecdsa"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mholt/acmez/v3/acme"
	"go.uber.org/zap"

	"github.com/landfall-cdn/landfall/tls/certs/local"
)

// told is the Share of a node whose peers order everything.
type told struct{}

func (told) Orders(string) bool                                    { return false }
func (told) Publish(context.Context, string, string, []byte) error { return nil }

const testIssuer = "ca.test-dir"

func newTold(t testing.TB, names ...string) *Issuer {
	t.Helper()
	iss, err := New(Config{
		Storage: filepath.Join(t.TempDir(), "acme"), Directory: "https://ca.test/dir",
		Share: told{}, Log: zap.NewNop(),
	})
	if err != nil {
		t.Fatal(err)
	}
	iss.Manage(names)
	return iss
}

// message returns the data of KindCertificate for a certificate of local.
func message(t testing.TB, cert *tls.Certificate, edit func(*certificateMessage)) []byte {
	t.Helper()
	key, err := x509.MarshalECPrivateKey(cert.PrivateKey.(*ecdsa.PrivateKey))
	if err != nil {
		t.Fatal(err)
	}
	m := certificateMessage{
		Issuer: testIssuer,
		Chain:  pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert.Certificate[0]}),
		Key:    pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: key}),
		Meta:   json.RawMessage(`{"sans":["a.test"],"issuer_data":{"url":"https://ca.test/c/1","ca":"https://ca.test/dir"}}`),
	}
	if edit != nil {
		edit(&m)
	}
	data, err := json.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func localCA(t testing.TB) func(name string, at time.Time) *tls.Certificate {
	t.Helper()
	ca, err := local.Open(filepath.Join(t.TempDir(), "ca"), time.Now())
	if err != nil {
		t.Fatal(err)
	}
	return func(name string, at time.Time) *tls.Certificate {
		cert, err := ca.Issue([]string{name}, at)
		if err != nil {
			t.Fatal(err)
		}
		return cert
	}
}

func TestReceiveCertificate(t *testing.T) {
	issue := localCA(t)
	iss := newTold(t, "a.test")
	now := time.Now()
	good := issue("a.test", now)
	if err := iss.Receive(KindCertificate, "a.test", message(t, good, nil)); !errors.Is(err, errNotRunning) {
		t.Errorf("before Run: %v, want errNotRunning", err)
	}
	startIssuer(t, iss)
	for range 2 { // what is known is no error
		if err := iss.Receive(KindCertificate, "a.test", message(t, good, nil)); err != nil {
			t.Fatal(err)
		}
	}
	if !iss.Leaf("a.test").Equal(good.Leaf) || !stored(t, iss).Equal(good.Leaf) {
		t.Fatal("a certificate of a peer is not served and stored")
	}
	other := issue("a.test", now)
	for _, tc := range []struct {
		name, kind, host string
		data             []byte
		says             string
	}{
		{"older", KindCertificate, "a.test", message(t, issue("a.test", now.Add(-time.Hour)), nil), errOlder.Error()},
		{"expired", KindCertificate, "a.test", message(t, issue("a.test", now.AddDate(0, -1, 0)), nil), "expired"},
		{"not yet valid", KindCertificate, "a.test", message(t, issue("a.test", now.AddDate(0, 1, 0)), nil), "not valid before"},
		{"another's", KindCertificate, "a.test", message(t, issue("b.test", now), nil), "valid for b.test"},
		{"another's key", KindCertificate, "a.test", message(t, other, func(m *certificateMessage) {
			m.Chain = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: issue("a.test", now).Certificate[0]})
		}), "private key does not match"},
		{"no chain", KindCertificate, "a.test", message(t, other, func(m *certificateMessage) { m.Chain = nil }), "PEM"},
		{"another CA", KindCertificate, "a.test", message(t, other, func(m *certificateMessage) { m.Issuer = "other.test-dir" }), `configured for "ca.test-dir"`},
		{"no metadata", KindCertificate, "a.test", message(t, other, func(m *certificateMessage) { m.Meta = json.RawMessage(`7`) }), "metadata"},
		{"not JSON", KindCertificate, "a.test", []byte("{"), "JSON"},
		{"too large", KindCertificate, "a.test", make([]byte, MaxMessage+1), "more than"},
		{"spelled otherwise", KindCertificate, "A.test", message(t, other, nil), "canonical"},
		{"no name", KindCertificate, "../../etc", message(t, other, nil), "canonical"},
		{"unknown kind", "weather", "a.test", nil, "does not know"},
	} {
		err := iss.Receive(tc.kind, tc.host, tc.data)
		if err == nil || !strings.Contains(err.Error(), tc.says) {
			t.Errorf("%s: Receive = %v, want an error that says %q", tc.name, err, tc.says)
		}
		if !iss.Leaf("a.test").Equal(good.Leaf) {
			t.Fatalf("%s: it replaces one that works", tc.name)
		}
	}
	if err := iss.Receive(KindCertificate, "a.test", message(t, issue("a.test", now.Add(time.Minute/2)), func(m *certificateMessage) { m.Meta = json.RawMessage(`{}`) })); err != nil {
		t.Errorf("a newer one: %v", err)
	}
	if iss.Leaf("a.test").Equal(good.Leaf) {
		t.Error("a newer one is not served")
	}
}

// TestReceiveBeforeTheSite: peers may know a site a little earlier.
func TestReceiveBeforeTheSite(t *testing.T) {
	issue := localCA(t)
	iss := newTold(t)
	startIssuer(t, iss)
	cert := issue("soon.test", time.Now())
	if err := iss.Receive(KindCertificate, "soon.test", message(t, cert, nil)); err != nil {
		t.Fatal(err)
	}
	if iss.Leaf("soon.test") != nil {
		t.Error("a name that no site has is served")
	}
	iss.Manage([]string{"soon.test"})
	await(t, "what was stored", func() bool { return iss.Leaf("soon.test") != nil })
	for n := range maxUnmanaged {
		iss.live.unmanaged[fmt.Sprint(n)] = true
	}
	data := message(t, issue("flood.test", time.Now()), nil)
	if err := iss.Receive(KindCertificate, "flood.test", data); err == nil {
		t.Errorf("more than %d names without a site are stored", maxUnmanaged)
	}
	if _, err := iss.live.storage.load(t.Context(), testIssuer, "flood.test"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("what was refused is in storage, or %v", err)
	}
}

// TestForeignMeta: the next order must not name a certificate that another
// account ordered, and what a peer says of names must not become a path.
func TestForeignMeta(t *testing.T) {
	got, err := foreignMeta("a.test", json.RawMessage(`{"sans":["../x"],"issuer_data":{"url":"u","ca":"c","renewal_info":{"x":1}}}`))
	if err != nil {
		t.Fatal(err)
	}
	var m struct {
		SANs []string       `json:"sans"`
		Data map[string]any `json:"issuer_data"`
	}
	if err := json.Unmarshal(got, &m); err != nil {
		t.Fatal(err)
	}
	if len(m.SANs) != 1 || m.SANs[0] != "a.test" || m.Data["ca"] != nil || m.Data["url"] != "u" || m.Data["renewal_info"] == nil {
		t.Errorf("metadata became %s", got)
	}
}

func challengeData(t testing.TB, m challengeMessage) []byte {
	t.Helper()
	data, err := json.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func TestReceiveChallenge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		iss := newTold(t)
		give := func(name, kind, token string) error {
			return iss.Receive(KindChallenge, name, challengeData(t, challengeMessage{Type: kind, Token: token, KeyAuthorization: token + ".thumb"}))
		}
		answered := func(name, token string) bool {
			body, ok := iss.HandleHTTPChallenge(name, ChallengePath+token)
			return ok && body == token+".thumb"
		}
		for _, token := range []string{"one", "two"} {
			if err := give("a.test", acme.ChallengeTypeHTTP01, token); err != nil {
				t.Fatal(err)
			}
		}
		if !answered("A.Test", "one") || !answered("a.test", "two") || answered("a.test", "three") || answered("b.test", "one") {
			t.Error("other challenges are answered than those that were given")
		}
		if _, ok := iss.ChallengeCertificate("a.test"); ok {
			t.Error("a challenge over HTTP is answered over TLS")
		}
		if err := give("a.test", acme.ChallengeTypeTLSALPN01, "tls"); err != nil {
			t.Fatal(err)
		}
		if _, ok := iss.ChallengeCertificate("a.test"); !ok || answered("a.test", "tls") {
			t.Error("a challenge over TLS is not answered over TLS only")
		}
		if err := iss.Receive(KindWithdrawal, "a.test", challengeData(t, challengeMessage{Token: "one"})); err != nil {
			t.Fatal(err)
		}
		if answered("a.test", "one") || !answered("a.test", "two") {
			t.Error("another challenge than the withdrawn one is gone")
		}
		time.Sleep(challengeLife + 1)
		if _, ok := iss.ChallengeCertificate("a.test"); ok || answered("a.test", "two") {
			t.Error("a challenge is answered for ever")
		}
	})
}

func TestChallengesAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		iss := newTold(t)
		give := func(name, token string) error {
			return iss.Receive(KindChallenge, name, challengeData(t, challengeMessage{Type: acme.ChallengeTypeHTTP01, Token: token, KeyAuthorization: token + ".thumb"}))
		}
		for n := range 2 * maxNameChallenges {
			if err := give("a.test", fmt.Sprint(n)); err != nil {
				t.Fatal(err)
			}
		}
		if got := len(iss.challenges.of("a.test")); got != maxNameChallenges {
			t.Errorf("one name has %d challenges, want the newest %d", got, maxNameChallenges)
		}
		for n := range maxChallenges - maxNameChallenges {
			if err := give(fmt.Sprintf("%d.test", n), "t"); err != nil {
				t.Fatal(err)
			}
		}
		if err := give("full.test", "t"); !errors.Is(err, errChallenges) {
			t.Errorf("challenge %d: %v, want errChallenges", maxChallenges+1, err)
		}
		if err := give("1.test", "t"); err != nil {
			t.Errorf("one that is known already: %v", err)
		}
		time.Sleep(challengeLife + 1)
		if err := give("full.test", "t"); err != nil {
			t.Errorf("after the others expired: %v", err)
		}
		if got := len(*iss.challenges.live.Load()); got != 1 {
			t.Errorf("%d names are kept, want 1", got)
		}
	})
}

func TestChallengeRefused(t *testing.T) {
	iss := newTold(t)
	long := strings.Repeat("a", maxToken+1)
	for name, m := range map[string]challengeMessage{
		"no thumbprint":   {Type: acme.ChallengeTypeHTTP01, Token: "t", KeyAuthorization: "t"},
		"another token":   {Type: acme.ChallengeTypeHTTP01, Token: "t", KeyAuthorization: "u.thumb"},
		"a path":          {Type: acme.ChallengeTypeHTTP01, Token: "../t", KeyAuthorization: "../t.thumb"},
		"markup":          {Type: acme.ChallengeTypeHTTP01, Token: "t", KeyAuthorization: "t.<script>"},
		"too long":        {Type: acme.ChallengeTypeHTTP01, Token: long, KeyAuthorization: long + ".thumb"},
		"unknown type":    {Type: acme.ChallengeTypeDNS01, Token: "t", KeyAuthorization: "t.thumb"},
		"nothing but air": {},
	} {
		if err := iss.Receive(KindChallenge, "a.test", challengeData(t, m)); err == nil {
			t.Errorf("%s: it is accepted", name)
		}
	}
	if len(*iss.challenges.live.Load()) != 0 {
		t.Error("a refused challenge is kept")
	}
}

// FuzzReceive: nothing that a peer sends makes an issuer panic or serve a
// certificate that is not of the name.
func FuzzReceive(f *testing.F) {
	issue := localCA(f)
	iss := newTold(f, "a.test")
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	ready := make(chan struct{})
	go func() { done <- iss.Run(ctx, func() { close(ready) }) }()
	<-ready
	f.Cleanup(func() {
		cancel()
		<-done
	})
	f.Add(KindCertificate, "a.test", message(f, issue("a.test", time.Now()), nil))
	f.Add(KindCertificate, "a.test", message(f, issue("b.test", time.Now()), nil))
	f.Add(KindChallenge, "a.test", []byte(`{"type":"http-01","token":"t","keyAuthorization":"t.u"}`))
	f.Add(KindChallenge, "a.test", []byte(`{"type":"tls-alpn-01","token":"t","keyAuthorization":"t.u"}`))
	f.Add(KindWithdrawal, "a.test", []byte(`{"token":"t"}`))
	f.Fuzz(func(t *testing.T, kind, name string, data []byte) {
		err := iss.Receive(kind, name, data)
		if leaf := iss.Leaf("a.test"); leaf != nil && leaf.VerifyHostname("a.test") != nil {
			t.Errorf("Receive(%q, %q) = %v, and a.test is served with %q", kind, name, err, leaf.DNSNames)
		}
	})
}
