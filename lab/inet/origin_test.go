package inet

import (
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
)

func TestLongAnswerGoesOnWhereItWasLeft(t *testing.T) {
	from := LongSize - 3*longPiece
	for _, c := range []struct {
		name           string
		ranges, ifTag  string
		status, length int
		first          byte
	}{
		{"the rest", "bytes=154000-", longTag, http.StatusPartialContent, LongSize - from, LongByte(from)},
		{"of another one", "bytes=154000-", `"other"`, http.StatusOK, LongSize, LongByte(0)},
		{"a range that nobody sends", "bytes=1-2", longTag, http.StatusOK, LongSize, LongByte(0)},
		{"beyond the end", "bytes=200000-", longTag, http.StatusOK, LongSize, LongByte(0)},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := httptest.NewServer(http.HandlerFunc(serveLong))
			defer s.Close()
			req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.URL, nil)
			if err != nil {
				t.Fatal(err)
			}
			req.Header.Set("Range", c.ranges)
			req.Header.Set("If-Range", c.ifTag)
			resp, err := s.Client().Do(req)
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			first := make([]byte, 1)
			if _, err := io.ReadFull(resp.Body, first); err != nil {
				t.Fatal(err)
			}
			if resp.StatusCode != c.status || int(resp.ContentLength) != c.length || first[0] != c.first {
				t.Errorf("status %d, %d bytes, the first %d; want %d, %d, %d", resp.StatusCode, resp.ContentLength, first[0], c.status, c.length, c.first)
			}
		})
	}
}
