package node

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

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
	if reasons = s.wrong(conf, []*configs.Site{conf}); len(reasons) > 0 {
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
// or a name. Those that serve already come first and keep theirs; nothing
// that has become wrong around them, such as a certificate file that is
// gone, ends them.
func (s *sites) unclash(r *round) {
	claims := claims{}
	var candidates []*document
	for _, d := range r.accepted {
		if s.isServing(d) {
			claims.enter(d)
		} else {
			candidates = append(candidates, d)
		}
	}
	r.accepted = slices.DeleteFunc(r.accepted, func(d *document) bool { return !s.isServing(d) })
	for _, d := range candidates {
		if other := claims.rival(d); other != nil {
			file := d.file
			reasons := s.wrong(d.conf, []*configs.Site{other.conf, d.conf})
			r.refuse(file, reasons)
			if d = s.lastGood(file); d != nil && claims.rival(d) != nil {
				d = nil
			}
			s.report(file, reasons, d != nil)
		}
		if d != nil {
			claims.enter(d)
			r.accepted = append(r.accepted, d)
		}
	}
}

func (s *sites) isServing(d *document) bool { return s.serving[d.file] == d }

// claims is who has what no two sites may have.
type claims map[string]*document

// of lists what a document claims. A name and a hostname never meet: a
// hostname has no space.
func (claims) of(d *document) []string {
	return append(slices.Clone(d.conf.Hostnames), "site "+d.conf.Name)
}

func (c claims) enter(d *document) {
	for _, what := range c.of(d) {
		c[what] = d
	}
}

// rival returns who has something that d claims.
func (c claims) rival(d *document) *document {
	for _, what := range c.of(d) {
		if other := c[what]; other != nil {
			return other
		}
	}
	return nil
}

// wrong returns what CheckSet says of one site of a set: not of others,
// nor of the node's own files.
func (s *sites) wrong(conf *configs.Site, set []*configs.Site) (reasons []string) {
	for _, diag := range configs.CheckSet(set, s.node.conf) {
		if diag.Severity == configs.Error && diag.File == conf.File() {
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

// forget removes what is kept of files that are gone: a document that is
// written anew under an old name has no past. What cannot be removed is
// tried again at the next reading.
func (k *kept) forget(read []*document) {
	entries, _ := os.ReadDir(k.dir)
	for _, e := range entries {
		if !slices.ContainsFunc(read, func(d *document) bool { return d.file == e.Name() }) {
			_ = os.Remove(filepath.Join(k.dir, e.Name()))
		}
	}
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
