//go:build race

package pop

// raceDetector says whether the tests run with it; the program is then
// built with it too, and everything takes several times as long.
const raceDetector = true
