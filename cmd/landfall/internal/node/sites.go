package node

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/cespare/xxhash/v2"
	"github.com/fsnotify/fsnotify"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
	"go.uber.org/zap"

	"github.com/landfall-cdn/landfall/configs"
	"github.com/landfall-cdn/landfall/edge/site"
	"github.com/landfall-cdn/landfall/origin"
)

// settle is how long a folder must be quiet before it is read: an editor
// writes a file in several steps, and a deployment many files. A folder
// that is never quiet is read after settleMost.
const (
	settle     = 150 * time.Millisecond
	settleMost = 2 * time.Second
	// rewatch is when a folder that cannot be watched is looked for again.
	rewatch = 10 * time.Second
)

// sites follows the folder of site documents. A document that is broken
// is refused, and the last one of its name that was good serves on.
type sites struct {
	// Static after newSites.
	node     *Node
	dir      string
	log      *zap.Logger
	compiler *compiler
	kept     *kept
	reloads  map[bool]prometheus.Counter // by success

	// Owned by Run.
	serving map[string]*document // by file name
	origins map[string]*runningOrigin

	// Guarded by mu.
	mu       sync.Mutex
	problems []string // of documents that are refused, and of certificates
	inForce  int      // sites in force
	refused  int      // documents refused
	lastErr  error    // why the folder could not be read

	// sum is a hash of the documents in force: nodes with the same sites have
	// the same.
	sum atomic.Uint64

	// host is one that the node serves, for its look at itself; nil before
	// there are any.
	host atomic.Pointer[string]
}

// document is one site document as it was read.
type document struct {
	file string // name within the folder
	data []byte
	// unread is why the file could not be read; data is empty then.
	unread error
	conf   *configs.Site
	// site is compiled once, and kept while data stays the same.
	site *compiled
}

func newSites(n *Node, met *origin.Metrics) (*sites, error) {
	c, err := newCompiler(n, met)
	if err != nil {
		return nil, err
	}
	s := &sites{
		node: n, dir: n.conf.Sites.Dir, log: n.log.Named("sites"), compiler: c,
		kept:    &kept{dir: filepath.Join(n.conf.State, "sites")},
		serving: map[string]*document{}, origins: map[string]*runningOrigin{},
	}
	s.register(n.metrics)
	n.checks.Require("sites", s.check)
	n.checks.Report("sites", s.complaints)
	return s, s.kept.open()
}

func (s *sites) register(reg prometheus.Registerer) {
	f := promauto.With(reg)
	reloads := f.NewCounterVec(prometheus.CounterOpts{
		Name: "landfall_site_reloads_total", Help: "Times the site documents were read, by whether all were accepted.",
	}, []string{"result"})
	s.reloads = map[bool]prometheus.Counter{true: reloads.WithLabelValues("accepted"), false: reloads.WithLabelValues("refused")}
	f.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "landfall_sites", Help: "Sites in force.",
	}, func() float64 { s.mu.Lock(); defer s.mu.Unlock(); return float64(s.inForce) })
	f.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "landfall_sites_refused", Help: "Site documents that are refused now; the last good ones serve on.",
	}, func() float64 { s.mu.Lock(); defer s.mu.Unlock(); return float64(s.refused) })
}

// check is the health check: a node without a site can serve nobody.
func (s *sites) check() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.inForce > 0:
		return nil
	case s.lastErr != nil:
		return s.lastErr
	}
	return fmt.Errorf("no site is in force: %s holds no valid site document", s.dir)
}

func (s *sites) complaints() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := slices.Clone(s.problems)
	if s.lastErr != nil {
		out = append(out, s.lastErr.Error())
	}
	return out
}

// Run reads the folder, then again whenever it changes or SIGHUP comes,
// until ctx is done.
func (s *sites) Run(ctx context.Context, ready func()) error {
	defer s.stopOrigins()
	watch, err := fsnotify.NewWatcher()
	if err != nil {
		return fmt.Errorf("watch %s: %w", s.dir, err)
	}
	defer func() { _ = watch.Close() }() // nothing was written
	hup := make(chan os.Signal, 1)
	signal.Notify(hup, syscall.SIGHUP)
	defer signal.Stop(hup)

	due := &due{timer: time.NewTimer(0)}
	defer due.timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case e := <-watch.Events:
			if configs.IsSiteFile(filepath.Base(e.Name)) || e.Has(fsnotify.Create|fsnotify.Rename|fsnotify.Remove) {
				due.soon()
			}
		case err := <-watch.Errors:
			s.log.Warn("events of the sites' folder were lost, reading it again", zap.Error(err))
			due.soon()
		case <-hup:
			if err := s.node.access.Reopen(); err != nil {
				s.log.Error("the access log could not be opened again, writing on to the old file", zap.Error(err))
			}
			due.now()
		case <-due.timer.C:
			due.done()
			// Again each time: the folder may be another one of its name.
			if err := watch.Add(s.dir); err != nil {
				s.log.Error("the folder of sites cannot be watched, looking again soon", zap.String("dir", s.dir), zap.Error(err))
				due.timer.Reset(rewatch)
			}
			s.reload(ctx)
			ready()
			ready = func() {}
		}
	}
}

// due is when the folder is to be read next.
type due struct {
	timer *time.Timer
	first time.Time // of the events since the last reading
}

func (d *due) soon() {
	now := time.Now()
	if d.first.IsZero() {
		d.first = now
	}
	d.timer.Reset(min(settle, settleMost-now.Sub(d.first)))
}

func (d *due) now()  { d.timer.Reset(0) }
func (d *due) done() { d.first = time.Time{} }

// reload reads all documents and puts in force what is good.
func (s *sites) reload(ctx context.Context) {
	read, err := s.readAll()
	if err != nil {
		// An unreadable folder is not an empty one: everything stays.
		s.log.Error("the sites cannot be read, nothing changes", zap.Error(err))
		s.reloads[false].Inc()
		s.mu.Lock()
		s.lastErr = err
		s.mu.Unlock()
		return
	}
	s.kept.forget(read)
	round := s.settle(read)
	problems, err := s.commit(ctx, round.accepted)
	if err != nil {
		s.log.Error("the sites could not be put in force", zap.Error(err))
		round.refuse("", []string{err.Error()})
	}
	for _, p := range problems {
		s.log.Error("certificate problem", zap.String("reason", p))
	}
	s.reloads[len(round.refused) == 0].Inc()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.problems = append(round.complaints, problems...)
	s.refused, s.inForce, s.lastErr = len(round.refused), len(s.serving), nil
}

// readAll reads the documents of the folder, without judging them.
func (s *sites) readAll() ([]*document, error) {
	entries, err := os.ReadDir(s.dir)
	if err != nil {
		return nil, fmt.Errorf("sites.dir: %w", err)
	}
	var out []*document
	for _, e := range entries {
		name := e.Name()
		if e.IsDir() || !configs.IsSiteFile(name) {
			continue
		}
		data, err := configs.ReadDocument(filepath.Join(s.dir, name))
		if errors.Is(err, os.ErrNotExist) {
			continue // removed since ReadDir
		}
		out = append(out, &document{file: name, data: data, unread: err})
	}
	return out, nil
}

// commit puts a set of documents in force, all at once for a request: the
// certificates first, so that no handshake meets a site without, and the
// routes last.
func (s *sites) commit(ctx context.Context, docs []*document) (problems []string, err error) {
	specs, policies, routes := s.compiler.collect(docs)
	set := s.node.certs.Prepare(specs)
	for i := range policies {
		policies[i].Certificates = set.Source(policies[i].Name)
	}
	table, err := s.node.policy.Build(policies, s.node.opts.Fallback)
	if err != nil {
		return nil, fmt.Errorf("nothing changes: %w", err)
	}
	routing, err := site.NewTable(routes, s.node.opts.Fallback)
	if err != nil {
		return nil, fmt.Errorf("nothing changes: %w", err)
	}
	s.startOrigins(ctx, docs)
	s.node.certs.Commit(set)
	s.node.policy.Swap(table)
	s.node.edge.Swap(routing)
	s.retireOrigins(docs)
	s.keep(docs)
	for _, p := range set.Problems() {
		problems = append(problems, fmt.Sprintf("site %s: %v", p.Site, p.Err))
	}
	return problems, nil
}

// keep notes what serves now, here and on disk.
func (s *sites) keep(docs []*document) {
	now := make(map[string]*document, len(docs))
	for _, d := range docs {
		now[d.file] = d
		if old := s.serving[d.file]; old == nil || string(old.data) != string(d.data) {
			s.log.Info("site in force", zap.String("site", d.conf.Name), zap.String("file", d.file), zap.Strings("hostnames", d.conf.Hostnames))
		}
		if err := s.kept.save(d.file, d.data); err != nil {
			s.log.Error("the last good document could not be kept, a restart would not find it", zap.String("file", d.file), zap.Error(err))
		}
	}
	for file, d := range s.serving {
		if now[file] == nil {
			s.log.Info("site no longer in force", zap.String("site", d.conf.Name), zap.String("file", file))
		}
	}
	s.serving = now
	h := xxhash.New()
	for _, file := range slices.Sorted(maps.Keys(now)) {
		_, _ = fmt.Fprintf(h, "%q %q ", file, now[file].data) // a hash takes everything
	}
	s.sum.Store(h.Sum64())
	s.host.Store(someHost(docs))
}

// someHost picks a host of the documents, nil when they have none.
func someHost(docs []*document) *string {
	for _, d := range docs {
		for _, h := range d.conf.Hostnames {
			h = strings.Replace(h, "*.", "self.", 1)
			return &h
		}
	}
	return nil
}

// someHost returns a host that the node serves, "" before there is one.
func (s *sites) someHost() string {
	if h := s.host.Load(); h != nil {
		return *h
	}
	return ""
}

// hash returns that of the documents in force, 0 before there are any.
func (s *sites) hash() uint64 { return s.sum.Load() }

// runningOrigin is an origin and the goroutine of its health checks.
type runningOrigin struct {
	of     *compiled
	cancel context.CancelFunc
	done   chan struct{}
}

func (s *sites) startOrigins(ctx context.Context, docs []*document) {
	for _, d := range docs {
		if r := s.origins[d.file]; r != nil && r.of == d.site {
			continue
		}
		ctx, cancel := context.WithCancel(ctx)
		r := &runningOrigin{of: d.site, cancel: cancel, done: make(chan struct{})}
		go func() {
			defer close(r.done)
			if err := r.of.origin.Run(ctx); err != nil && ctx.Err() == nil {
				s.log.Error("health checks of an origin ended", zap.String("site", r.of.site.Name), zap.Error(err))
			}
		}()
		s.replace(d.file, r)
	}
}

// replace puts r in the place of the origin that served a file before.
func (s *sites) replace(file string, r *runningOrigin) {
	if old := s.origins[file]; old != nil {
		old.cancel()
		<-old.done
	}
	s.origins[file] = r
}

// retireOrigins stops what no document uses any more.
func (s *sites) retireOrigins(docs []*document) {
	for file, r := range s.origins {
		if !slices.ContainsFunc(docs, func(d *document) bool { return d.file == file }) {
			r.cancel()
			<-r.done
			delete(s.origins, file)
		}
	}
}

func (s *sites) stopOrigins() { s.retireOrigins(nil) }
