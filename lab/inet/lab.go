package inet

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/landfall-cdn/landfall/internal/netns"
)

// Options are what a lab can be told.
type Options struct {
	Name    string `json:"name"`
	Routers string `json:"routers"` // BIRD or FRR
	// Program is the landfall binary that the nodes run.
	Program string `json:"program"`
	// Keep leaves the lab's folder, with all logs, when the lab ends.
	Keep bool `json:"keep"`
}

// Lab is a lab of this machine, as any process of root may handle it. Its
// methods may be called at once, and by several processes; two that change
// the same thing undo one another's work.
type Lab struct {
	// Static.
	Options
	Plan *Plan
	Dir  string
}

// Dir is the folder of the lab with a name.
func Dir(name string) string { return filepath.Join(os.TempDir(), "landfall-lab-"+name) }

// The files of a lab's folder.
const (
	infoFile = "lab.json"
	lockFile = "lock"
	sockFile = "control"
)

// maxDir bounds the length of a lab's folder: below it are Unix sockets,
// whose paths may have 107 bytes.
const maxDir = 70

// spaces is what the names of a lab's namespaces start with.
func spaces(name string) string { return "lf-" + name + "-" }

// ErrNoLab says that there is no lab of that name.
var ErrNoLab = errors.New("no such lab")

// Open returns the lab of a name that is up.
func Open(name string) (*Lab, error) {
	if err := CheckName(name); err != nil {
		return nil, err
	}
	dir := Dir(name)
	text, err := os.ReadFile(filepath.Join(dir, infoFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%w: lab %s is not up; start it with: landfall lab up --name %s", ErrNoLab, name, name)
	}
	if err != nil {
		return nil, err
	}
	l := &Lab{Plan: NewPlan(name), Dir: dir}
	if err := json.Unmarshal(text, &l.Options); err != nil {
		return nil, fmt.Errorf("%s: %w; remove it with: landfall lab down --name %s", filepath.Join(dir, infoFile), err, name)
	}
	return l, nil
}

// space is the namespace of a router, a node, or a client.
func (l *Lab) space(name string) *netns.Namespace {
	return &netns.Namespace{Name: spaces(l.Name) + name}
}

// clientSpace is the name of a client's namespace within the lab.
func clientSpace(network string) string { return "client." + network }

// Node returns the namespace of a node.
func (l *Lab) Node(name string) *netns.Namespace { return l.space(name) }

// Client returns the namespace of the client in a network.
func (l *Lab) Client(network string) *netns.Namespace { return l.space(clientSpace(network)) }

// NodeDir is the folder of a node.
func (l *Lab) NodeDir(name string) string { return filepath.Join(l.Dir, "nodes", name) }

// routerDir is the folder of a router.
func (l *Lab) routerDir(name string) string { return filepath.Join(l.Dir, "routers", name) }

// files writes the folder of the lab: node files, sites and the secret.
func (l *Lab) files(secret string) error {
	if len(l.Dir) > maxDir {
		return fmt.Errorf("the lab's folder would be %s: expected at most %d bytes, for the sockets in it; set TMPDIR to a shorter one", l.Dir, maxDir)
	}
	for _, dir := range []string{"logs", "sites", "nodes", "routers"} {
		if err := os.MkdirAll(filepath.Join(l.Dir, dir), 0o755); err != nil {
			return err
		}
	}
	files := map[string]string{"pop.key": secret + "\n"}
	for name, text := range sites(l.Plan) {
		files[filepath.Join("sites", name)] = text
	}
	for i := range l.Plan.Nodes {
		n := &l.Plan.Nodes[i]
		files[filepath.Join("nodes", n.Name, "node.yaml")] = nodeFile(l.Plan, n, l.Routers, l.Dir)
	}
	for name, text := range files {
		file := filepath.Join(l.Dir, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			return err
		}
	}
	return nil
}

// writeInfo makes the lab one that Open finds.
func (l *Lab) writeInfo() error {
	text, err := json.Marshal(l.Options)
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(l.Dir, infoFile), text, 0o600)
}

// Sweep removes whatever is left of the lab with a name: its processes, its
// namespaces, and its folder unless keep. It must not run beside the lab's
// supervisor. It reports whether there was anything.
func Sweep(name string, keep bool) (found bool, err error) {
	if err := CheckName(name); err != nil {
		return false, err
	}
	set, err := netns.Named(spaces(name))
	if err != nil {
		return false, err
	}
	found = set.Len() > 0
	err = set.Close()
	if _, e := os.Stat(Dir(name)); e == nil {
		found = true
	}
	if keep {
		return found, err
	}
	return found, errors.Join(err, os.RemoveAll(Dir(name)))
}

// Names lists the labs of this machine, also what is left of one.
func Names() (out []string, err error) {
	found, err := filepath.Glob(Dir("*"))
	if err != nil {
		return nil, err
	}
	for _, dir := range found {
		if name := strings.TrimPrefix(dir, Dir("")); CheckName(name) == nil {
			out = append(out, name)
		}
	}
	return out, nil
}
