package configs

import "strings"

// suggestion proposes the word nearest to what was written; "" when none
// is near.
func suggestion(written string, words []string) string {
	if w := nearest(written, words); w != "" {
		return "; did you mean `" + w + "`?"
	}
	return ""
}

// nearest returns the word that takes the fewest edits, unless even that
// takes more than a third of its letters. Case and the kind of separator
// do not count.
func nearest(written string, words []string) string {
	const longest = 40 // a key longer than this is no misspelling
	if len(written) > longest {
		return ""
	}
	best, fewest := "", longest
	for _, w := range words {
		d := distance(folded(written), folded(w))
		if d < fewest && d <= max(1, len(w)/3) {
			best, fewest = w, d
		}
	}
	return best
}

func folded(s string) string {
	return strings.NewReplacer("-", "", "_", "").Replace(strings.ToLower(s))
}

// distance counts insertions, deletions, replacements and swaps of
// neighbours that turn a into b (optimal string alignment).
func distance(a, b string) int {
	rows := make([][]int, len(a)+1)
	for i := range rows {
		rows[i] = make([]int, len(b)+1)
		rows[i][0] = i
	}
	for j := range rows[0] {
		rows[0][j] = j
	}
	for i := 1; i <= len(a); i++ {
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			d := min(rows[i-1][j]+1, rows[i][j-1]+1, rows[i-1][j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				d = min(d, rows[i-2][j-2]+1)
			}
			rows[i][j] = d
		}
	}
	return rows[len(a)][len(b)]
}
