// Package internet runs `landfall lab` as its users do: all scenarios with
// BIRD, some with FRR, two labs beside one another, and one whose supervisor
// is killed. It holds no code of the program's own. Its bounds on time are
// those of the scenarios.
package internet
