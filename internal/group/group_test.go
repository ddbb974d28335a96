package group

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func part(name string, log *[]string, stop time.Duration) Part {
	return Part{Name: name, Stop: stop, Run: func(ctx context.Context, ready func()) error {
		*log = append(*log, "+"+name)
		ready()
		<-ctx.Done()
		<-time.After(stop / 2) // what runs below it must not be told meanwhile
		*log = append(*log, "-"+name)
		return nil
	}}
}

func TestStopsInReverse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log []string
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if err := Run(ctx, nil, []Part{part("a", &log, time.Second), part("b", &log, time.Second)}); err != nil {
			t.Fatal(err)
		}
		if want := []string{"+a", "+b", "-b", "-a"}; !slices.Equal(log, want) {
			t.Errorf("order %v, want %v", log, want)
		}
	})
}

func TestFirstErrorStopsAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log []string
		boom := errors.New("boom")
		err := Run(t.Context(), nil, []Part{
			part("a", &log, time.Second),
			{Name: "b", Stop: time.Second, Run: func(context.Context, func()) error { return boom }},
			part("never", &log, time.Second),
		})
		if !errors.Is(err, boom) || !strings.HasPrefix(err.Error(), "b: ") {
			t.Errorf("error %v, want b: boom", err)
		}
		if want := []string{"+a", "-a"}; !slices.Equal(log, want) {
			t.Errorf("order %v, want %v", log, want)
		}
	})
}

func TestStuckPartIsNamed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		err := Run(ctx, nil, []Part{{Name: "stuck", Stop: 3 * time.Second, Run: func(_ context.Context, ready func()) error {
			ready()
			<-release
			return nil
		}}})
		close(release)
		if err == nil || !strings.Contains(err.Error(), "stuck: still running 3s") {
			t.Errorf("error %v does not name the stuck part", err)
		}
	})
}

func TestSecondSignalEndsWaiting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release, urgent := make(chan struct{}), make(chan struct{})
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		time.AfterFunc(time.Second, func() { close(urgent) })
		start := time.Now()
		err := Run(ctx, urgent, []Part{{Name: "slow", Stop: time.Hour, Run: func(context.Context, func()) error {
			<-release
			return nil
		}}})
		close(release)
		if err == nil || time.Since(start) != time.Second {
			t.Errorf("error %v after %v, want a cut after 1s", err, time.Since(start))
		}
	})
}
