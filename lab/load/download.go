package load

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"
)

// downloads fetches the long object again and again.
func (l *Load) downloads(ctx, begin context.Context, i int) {
	for ; begin.Err() == nil; i++ {
		proto := protocols[i%len(protocols)]
		l.note(func(r *Report) { r.Downloads++ })
		if err := l.download(ctx, proto); err != nil && ctx.Err() == nil {
			l.failed(func(r *Report) { r.Lost++ }, proto+" "+l.conf.Long, err)
		}
	}
}

// download fetches all of it, over as many connections as that takes.
func (l *Load) download(ctx context.Context, proto string) error {
	p := part{load: l, proto: proto}
	for range maxResumes + 1 {
		err := p.fetch(ctx)
		switch {
		case err == nil:
			return nil
		case errors.Is(err, errWrong) || ctx.Err() != nil:
			return err
		}
		l.note(func(r *Report) { r.Resumed++ })
		p.broke = append(p.broke, err)
		if errors.Is(err, errNoAnswer) {
			pause(ctx, retryPause)
		}
	}
	return fmt.Errorf("given up at byte %d: %w", p.at, errors.Join(p.broke...))
}

// part is how far a download has come.
type part struct {
	load  *Load
	proto string
	at    int
	etag  string
	broke []error
}

// errWrong is wrapped by the errors that trying again does not help.
var errWrong = errors.New("wrong answer")

// fetch asks for what is left and reads it. A connection on which nothing
// comes for stallTime counts as dead: nothing else would tell a client that
// only reads.
func (p *part) fetch(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stall := time.AfterFunc(attemptTime, cancel)
	defer stop(stall)
	header := http.Header{}
	if p.at > 0 {
		header.Set("Range", fmt.Sprintf("bytes=%d-", p.at))
		header.Set("If-Range", p.etag)
	}
	resp, closed, err := p.load.get(ctx, p.proto, p.load.conf.Long, header)
	if err != nil {
		return err
	}
	defer closed()
	want := http.StatusOK
	if p.at > 0 {
		want = http.StatusPartialContent
	}
	if resp.StatusCode != want {
		return fmt.Errorf("%w: status %d at byte %d, expected %d, %s", errWrong, resp.StatusCode, p.at, want, resp.Header.Get("Proxy-Status"))
	}
	p.etag = resp.Header.Get("ETag")
	b := make([]byte, 4096)
	for p.at < p.load.conf.LongSize {
		stall.Reset(stallTime)
		n, err := resp.Body.Read(b)
		for _, c := range b[:n] {
			if c != p.load.conf.LongByte(p.at) {
				return fmt.Errorf("%w: byte %d is not what it should be", errWrong, p.at)
			}
			p.at++
		}
		if err != nil && p.at < p.load.conf.LongSize {
			return fmt.Errorf("at byte %d: %w", p.at, err)
		}
	}
	return nil
}

func stop(t *time.Timer) { t.Stop() }
