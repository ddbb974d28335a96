//go:build !linux

package inet

// Prioritise does nothing where there are no labs.
func Prioritise() {}
