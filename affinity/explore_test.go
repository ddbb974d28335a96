package affinity

import ("testing";"time";"math/rand";"fmt")

func ids(n int) []NodeID { out := make([]NodeID,n); for i:= range out {out[i]=NodeID(i+1)}; return out }
func without(s []NodeID, i int) []NodeID { return append(append([]NodeID{}, s[:i]...), s[i+1:]...) }

func TestTimes(t *testing.T) {
	for _, n := range []int{1,2,3,5,10,32,64,128,255} {
		s := time.Now()
		o, err := distribute(ids(n), ringConfig())
		if err != nil { t.Fatal(err) }
		d := time.Since(s)
		c := map[NodeID]int{}
		for _, x := range o { c[x]++ }
		mx,mn := 0,1<<30
		for _, k := range c { mx=max(mx,k); mn=min(mn,k) }
		avg := float64(Partitions)/float64(n)
		t.Logf("N=%d %v max %.3f min %.3f", n, d, float64(mx)/avg, float64(mn)/avg)
	}
}

func removal(set []NodeID, cfg func() int) (worst, mean, needless float64) {
	c := ringConfig(); c.ReplicationFactor = cfg()
	o, _ := distribute(set, c)
	for i := range set {
		p, _ := distribute(without(set, i), c)
		m, x := 0,0
		for k := range o { if o[k]!=p[k] { m++; if o[k]!=set[i] { x++ } } }
		worst = max(worst, float64(m)/Partitions*100)
		mean += float64(m)/Partitions*100/float64(len(set))
		needless = max(needless, float64(x)/Partitions*100)
	}
	return
}

func TestRemoval(t *testing.T) {
	for _, n := range []int{2,3,4,5,10,32} {
		w, m, x := removal(ids(n), func() int {return points})
		t.Logf("N=%d ideal %.2f budget %.2f worst %.2f mean %.2f needless %.2f", n, 100/float64(n), 100/float64(n)+1, w, m, x)
	}
	for _, rf := range []int{1000, 4000} {
		r := rand.New(rand.NewSource(1))
		for _, n := range []int{2,3,4,5,7} {
			over, overn, sets := 0, 0, 20
			ws := 0.0
			for range sets {
				pm := r.Perm(255)[:n]
				set := make([]NodeID,n)
				for i := range pm { set[i]=NodeID(pm[i]+1) }
				w,m,_ := removal(set, func() int {return rf})
				ws = max(ws, w)
				if w > 100/float64(n)+1 { over++ }
				if m > 100/float64(n)+1 { overn++ }
			}
			fmt.Printf("rf %d N=%d sets over %d/%d worst %.2f; mean over %d\n", rf, n, over, sets, ws, overn)
		}
	}
}
