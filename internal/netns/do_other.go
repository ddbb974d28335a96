//go:build !linux

package netns

// Do fails: there are no namespaces here.
func (n *Namespace) Do(func() error) error { return ErrUnsupported }
