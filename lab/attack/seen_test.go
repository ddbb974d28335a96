package attack

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// reply is a final response as the client saw it, whole or not.
type reply struct {
	message
	status int
	stream uint64 // HTTP/2 and HTTP/3
	whole  bool
	reset  bool   // the stream was reset
	code   uint64 // of the reset
}

// seen is all that there is to judge a case by.
type seen struct {
	host    string   // of the run
	replies []*reply // in the order of requests
	interim []int    // status codes of 1xx responses
	// flaw is the first thing wrong with what the node sent.
	flaw string
	// ended says that the node ended the connection; code is the error
	// code that it gave, in HTTP/2 and HTTP/3.
	ended bool
	code  uint64
	// tunnel is what came after a switch of protocols.
	tunnel string

	took time.Duration

	requests []*request // at the origin
	atOnce   int        // the most of them at one time

	// later are what further connections of the case saw.
	later []*seen
}

// String shows a case for a report.
func (s *seen) String() string {
	var b strings.Builder
	for _, r := range s.replies {
		fmt.Fprintf(&b, "\n  reply %d on stream %d, whole %v, reset %v %#x, body %.120q", r.status, r.stream, r.whole, r.reset, r.code, r.body)
	}
	fmt.Fprintf(&b, "\n  interim %v, connection ended %v %#x, tunnel %.80q, flaw %q, %v", s.interim, s.ended, s.code, s.tunnel, s.flaw, s.took.Round(time.Millisecond))
	for _, r := range s.requests {
		fmt.Fprintf(&b, "\n  origin read %.300q, cut %v, tunnel %.80q, flaw %q", r.raw, r.cut, r.tunnel, r.flaw)
	}
	return b.String()
}

// outcome judges a case; nil is a pass.
type outcome func(s *seen) error

// safe is what holds for every case, whatever its outcome.
func safe(s *seen) error {
	if s.flaw != "" {
		return fmt.Errorf("the client was sent what no reader should see: %s", s.flaw)
	}
	for _, r := range s.requests {
		if r.flaw != "" {
			return fmt.Errorf("the origin could read a request in two ways: %s", r.flaw)
		}
		if strings.Contains(r.target, "smuggled") {
			return fmt.Errorf("a smuggled request reached the origin: %s", r.line())
		}
	}
	for _, r := range s.replies {
		if text, ok := strings.CutPrefix(string(r.body), "saw "); ok && !strings.Contains(text, marker.FindString(s.host)) {
			return fmt.Errorf("the client was given somebody else's response: %.200q", r.body)
		}
	}
	return nil
}

// all holds when each of its outcomes does.
func all(list ...outcome) outcome {
	return func(s *seen) error {
		for _, o := range list {
			if err := o(s); err != nil {
				return err
			}
		}
		return nil
	}
}

// anyOf holds when one does: the RFC leaves a choice, and each is safe.
func anyOf(list ...outcome) outcome {
	return func(s *seen) error {
		var texts []string
		for _, o := range list {
			err := o(s)
			if err == nil {
				return nil
			}
			texts = append(texts, err.Error())
		}
		return fmt.Errorf("none of %q", texts)
	}
}

// untouched: no request reached the origin.
func untouched(s *seen) error {
	if len(s.requests) > 0 {
		return fmt.Errorf("%d requests reached the origin", len(s.requests))
	}
	return nil
}

// closed: the node ended the connection.
func closed(s *seen) error {
	if !s.ended {
		return fmt.Errorf("the connection is still open")
	}
	return nil
}

// open: the node did not end the connection.
func open(s *seen) error {
	if s.ended {
		return fmt.Errorf("the connection ended, code %#x", s.code)
	}
	return nil
}

// denied: one answer with one of these codes, and nothing at the origin.
// The connection may live on.
func denied(codes ...int) outcome {
	return func(s *seen) error {
		if len(s.replies) != 1 || !slices.Contains(codes, s.replies[0].status) {
			return fmt.Errorf("answers %v, want one of %v", statuses(s), codes)
		}
		return untouched(s)
	}
}

// refused is denied, and the connection ends: nothing that came after
// such a request can be trusted.
func refused(codes ...int) outcome { return all(denied(codes...), closed) }

// dropped: the connection ends without an answer.
func dropped(s *seen) error {
	if len(statuses(s)) > 0 || !s.ended {
		return fmt.Errorf("answers %v, connection ended %v", statuses(s), s.ended)
	}
	return untouched(s)
}

// refusedOrReset is how HTTP/2 and HTTP/3 refuse: an answer with one of
// these codes, a reset of the stream, or the end of the connection.
func refusedOrReset(codes ...int) outcome {
	return func(s *seen) error {
		for _, r := range s.replies {
			if !r.reset && !slices.Contains(codes, r.status) && !(r.status == 0 && s.ended) {
				return fmt.Errorf("stream %d was answered %d, want one of %v or a reset", r.stream, r.status, codes)
			}
		}
		if len(s.replies) == 0 && !s.ended {
			return fmt.Errorf("neither answer nor reset nor end of the connection")
		}
		return untouched(s)
	}
}

// exactly: the origin read these requests, in this order, and no other.
// One is "METHOD target" or "METHOD target content".
func exactly(lines ...string) outcome {
	return func(s *seen) error {
		got := []string{}
		for _, r := range s.requests {
			got = append(got, r.line())
		}
		want := make([]string, len(lines))
		for i, line := range lines {
			want[i] = texts(s.host).Replace(line)
		}
		if !slices.Equal(got, want) {
			return fmt.Errorf("the origin read %q, want %q", got, want)
		}
		return nil
	}
}

// answered: the client got whole answers with these codes, in this order.
func answered(codes ...int) outcome {
	return func(s *seen) error {
		if got := statuses(s); !slices.Equal(got, codes) {
			return fmt.Errorf("answers %v, want %v", got, codes)
		}
		for _, r := range s.replies {
			if !r.whole {
				return fmt.Errorf("the answer %d is not whole", r.status)
			}
		}
		return nil
	}
}

// passed: the origin read exactly these requests, and each was answered
// 200.
func passed(lines ...string) outcome {
	ok := make([]int, len(lines))
	for i := range ok {
		ok[i] = 200
	}
	return all(exactly(lines...), answered(ok...))
}

// statuses lists the codes of all replies that have one.
func statuses(s *seen) []int {
	out := []int{}
	for _, r := range s.replies {
		if r.status != 0 {
			out = append(out, r.status)
		}
	}
	return out
}

// served: one whole answer with this code and exactly this content.
func served(status int, body string) outcome {
	return all(answered(status), func(s *seen) error {
		if got := string(s.replies[0].body); got != body {
			return fmt.Errorf("content %.200q, want %.200q", got, body)
		}
		return nil
	})
}

// cut: no whole answer, and the client can tell.
func cut(s *seen) error {
	for _, r := range s.replies {
		if r.whole {
			return fmt.Errorf("a whole answer: %d %.100q", r.status, r.body)
		}
		if !r.reset && !s.ended {
			return fmt.Errorf("neither reset nor end of the connection")
		}
	}
	return nil
}

// atOrigin: each request's field has exactly this value at the origin;
// "" means that it is not there.
func atOrigin(name, value string) outcome {
	return func(s *seen) error {
		for _, r := range s.requests {
			if got := r.value(name); got != value {
				return fmt.Errorf("the origin read %s %q, want %q", name, got, value)
			}
		}
		return nil
	}
}

// lacking: a word stands in nothing that reached the origin.
func lacking(word string) outcome {
	return func(s *seen) error {
		for _, r := range s.requests {
			if strings.Contains(strings.ToLower(string(r.raw)), strings.ToLower(word)) {
				return fmt.Errorf("%q reached the origin: %.400q", word, r.raw)
			}
		}
		return nil
	}
}

// unsaid: no reply says this word, in head or content.
func unsaid(word string) outcome {
	return func(s *seen) error {
		for _, r := range s.replies {
			for _, f := range slices.Concat(r.fields, r.trailer) {
				if strings.Contains(f.name+": "+f.value, word) {
					return fmt.Errorf("the client read %q in field %q", word, f.name+": "+f.value)
				}
			}
			if strings.Contains(string(r.body), word) {
				return fmt.Errorf("the client read %q in %.200q", word, r.body)
			}
		}
		return nil
	}
}
