package node

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"go.uber.org/zap"

	"github.com/landfall-cdn/landfall/configs"
)

// round is one reading of the folder: what is accepted, and what is
// refused and why.
type round struct {
	accepted   []*document
	refused    map[string]bool // by file
	complaints []string
}

func (r *round) refuse(file string, reasons []string) {
	r.refused[file] = true
	r.complaints = append(r.complaints, reasons...)
}

// settle decides which documents come into force. Each is judged by
// itself, then all together; one that fails gives way to the last good
// one of its name, so that no customer's mistake reaches another.
func (s *sites) settle(read []*document) *round {
	r := &round{refused: map[string]bool{}}
	for _, d := range read {
		good, reasons := s.judge(d)
		if len(reasons) > 0 {
			r.refuse(d.file, reasons)
			s.report(d.file, reasons, good != nil)
		}
		if good != nil {
			r.accepted = append(r.accepted, good)
		}
	}
	s.unclash(r)
	return r
}

func (s *sites) report(file string, reasons []string, kept bool) {
	msg := "site document refused; it never was good, so its site is not served"
	if kept {
		msg = "site document refused; its last good version serves on"
	}
	s.log.Error(msg, zap.String("file", file), zap.Strings("reasons", reasons))
}

// judge returns the document to use for a file: the one read, when it is
// good, or else the last good one; and why the one read is refused.
func (s *sites) judge(d *document) (good *document, reasons []string) {
	if d.unread != nil {
		return s.lastGood(d.file), []string{fmt.Sprintf("%s: %v", filepath.Join(s.dir, d.file), d.unread)}
	}
	old := s.serving[d.file]
	if old != nil && bytes.Equal(old.data, d.data) {
		return old, nil
	}
	if reasons = s.compile(d); len(reasons) == 0 {
		return d, nil
	}
	return s.lastGood(d.file), reasons
}

// lastGood returns what served a file before: in this process, or in the
// one before it.
func (s *sites) lastGood(file string) *document {
	if old := s.serving[file]; old != nil {
		return old
	}
	data, err := s.kept.load(file)
	if err != nil {
		if !errors.Is(err, fs.ErrNotExist) {
			s.log.Error("the last good document cannot be read", zap.String("file", file), zap.Error(err))
		}
		return nil
	}
	d := &document{file: file, data: data}
	if reasons := s.compile(d); len(reasons) > 0 {
		s.log.Error("the last good document is good no more", zap.String("file", file), zap.Strings("reasons", reasons))
		return nil
	}
	return d
}

// compile parses a document and compiles its site; it returns everything
// that is wrong with it.
func (s *sites) compile(d *document) (reasons []string) {
	conf, diags := configs.ParseSite(filepath.Join(s.dir, d.file), d.data, s.compiler.options())
	for _, diag := range diags {
		if diag.Severity == configs.Error {
			reasons = append(reasons, diag.String())
		} else {
			s.log.Warn(diag.String())
		}
	}
	if conf == nil || len(reasons) > 0 {
		return reasons
	}
	if reasons = s.clashes([]*configs.Site{conf}); len(reasons) > 0 {
		return reasons
	}
	compiled, err := s.compiler.compile(conf)
	if err != nil {
		return []string{fmt.Sprintf("%s: %v", filepath.Join(s.dir, d.file), err)}
	}
	d.conf, d.site = conf, compiled
	return nil
}

// unclash refuses documents that claim what another one has: a hostname
// or a name. Those that serve already come first and keep theirs.
func (s *sites) unclash(r *round) {
	slices.SortStableFunc(r.accepted, func(a, b *document) int {
		switch {
		case s.isServing(a) == s.isServing(b):
			return strings.Compare(a.file, b.file)
		case s.isServing(a):
			return -1
		}
		return 1
	})
	if len(s.clashes(confs(r.accepted))) == 0 {
		return
	}
	candidates := r.accepted
	r.accepted = nil
	for _, d := range candidates {
		reasons := s.clashes(confs(r.accepted, d))
		if len(reasons) == 0 {
			r.accepted = append(r.accepted, d)
			continue
		}
		r.refuse(d.file, reasons)
		old := s.lastGood(d.file)
		if old == d || old != nil && len(s.clashes(confs(r.accepted, old))) > 0 {
			old = nil
		}
		s.report(d.file, reasons, old != nil)
		if old != nil {
			r.accepted = append(r.accepted, old)
		}
	}
}

func confs(docs []*document, more ...*document) (out []*configs.Site) {
	for _, d := range slices.Concat(docs, more) {
		out = append(out, d.conf)
	}
	return out
}

func (s *sites) isServing(d *document) bool { return s.serving[d.file] == d }

// clashes returns what is wrong with sites beside each other, and with the
// files that they name.
func (s *sites) clashes(sites []*configs.Site) (reasons []string) {
	for _, diag := range configs.CheckSet(sites, s.node.conf) {
		// What has become wrong with the node's own files since it started
		// is no site's fault.
		if diag.Severity == configs.Error && diag.File != s.node.conf.File() {
			reasons = append(reasons, diag.String())
		}
	}
	return reasons
}

// kept is the folder of last good documents, which a restart falls back
// on. Files are replaced by renaming, so one is whole or not there.
type kept struct{ dir string }

func (k *kept) open() error {
	if err := os.MkdirAll(k.dir, 0o700); err != nil {
		return fmt.Errorf("state: %w", err)
	}
	return nil
}

func (k *kept) load(file string) ([]byte, error) {
	return os.ReadFile(filepath.Join(k.dir, file))
}

func (k *kept) save(file string, data []byte) error {
	if old, err := k.load(file); err == nil && bytes.Equal(old, data) {
		return nil
	}
	f, err := os.CreateTemp(k.dir, ".new-*")
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return os.Rename(f.Name(), filepath.Join(k.dir, file))
}
