//go:build !race

package pop

const raceDetector = false
