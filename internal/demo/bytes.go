package demo

import (
	"encoding/binary"
	"fmt"
	"io"
	"net/http"
)

// bytes serves n bytes that are the same on every node and after every
// restart, so that ranges fetched at different times fit together.
func (o *Origin) bytes(w http.ResponseWriter, r *http.Request) {
	n, err := number(r.PathValue("n"), param{name: "n", most: maxBytes})
	if err != nil {
		refuse(w, http.StatusBadRequest, "%v", err)
		return
	}
	h := w.Header()
	h.Set("Content-Type", "application/octet-stream")
	h.Set("Cache-Control", "public, max-age=3600")
	h.Set("ETag", fmt.Sprintf(`"bytes-%d"`, n))
	http.ServeContent(w, r, "", released, &noise{size: int64(n)})
}

// noise is an io.ReadSeeker over size pseudo-random bytes. It holds none
// of them: byte i follows from i alone.
type noise struct {
	size, at int64
}

// Read implements io.Reader.
func (s *noise) Read(p []byte) (int, error) {
	if s.at >= s.size {
		return 0, io.EOF
	}
	p = p[:min(int64(len(p)), s.size-s.at)]
	for done := 0; done < len(p); {
		var word [8]byte
		binary.LittleEndian.PutUint64(word[:], mix(uint64(s.at/8)))
		n := copy(p[done:], word[s.at%8:])
		done += n
		s.at += int64(n)
	}
	return len(p), nil
}

// Seek implements io.Seeker.
func (s *noise) Seek(offset int64, whence int) (int64, error) {
	switch whence {
	case io.SeekCurrent:
		offset += s.at
	case io.SeekEnd:
		offset += s.size
	}
	if offset < 0 {
		return 0, fmt.Errorf("seek to %d: before the first byte", offset)
	}
	s.at = offset
	return offset, nil
}

// mix is the output function of SplitMix64 (Steele, Lea, Flood: Fast
// Splittable Pseudorandom Number Generators, 2014) at position i.
func mix(i uint64) uint64 {
	z := (i + 1) * 0x9e3779b97f4a7c15
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}
