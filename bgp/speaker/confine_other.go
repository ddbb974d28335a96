//go:build !linux

package speaker

// confine has nothing to give away where there is no such thing.
func confine(bool) error { return nil }
