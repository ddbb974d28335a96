//go:build race

package attack

// raceDetector says whether the tests run with it; the program is then
// built with it too.
const raceDetector = true
