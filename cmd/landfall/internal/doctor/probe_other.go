//go:build !linux

package doctor

func lowPortsAllowed() bool { return true }

func clockState() error { return nil }

func fileLimit() uint64 { return 0 }
