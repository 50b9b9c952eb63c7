// Package nearest finds the word that somebody probably meant.
package nearest

// Match returns the candidate with the smallest edit distance to word, or "" when even that one
// differs in more than about a third of its letters. Of equal ones the first wins.
func Match(word string, candidates []string) string {
	best, bestDist := "", 0
	for _, c := range candidates {
		d := distance(word, c)
		if limit := (max(len(word), len(c)) + 2) / 3; d > limit {
			continue
		}
		if best == "" || d < bestDist {
			best, bestDist = c, d
		}
	}
	return best
}

// distance is Levenshtein's, with two rows.
func distance(a, b string) int {
	prev := make([]int, len(b)+1)
	cur := make([]int, len(b)+1)
	for j := range prev {
		prev[j] = j
	}
	for i := range len(a) {
		cur[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			cur[j+1] = min(prev[j]+cost, prev[j+1]+1, cur[j]+1)
		}
		prev, cur = cur, prev
	}
	return prev[len(b)]
}
