package inventory

// pods are the records that are kept, within their bounds. It is not safe for
// concurrent use.
type pods struct {
	maxPods, maxBytes int

	count, bytes int
	// left is the sum of leftOut.
	left int
	by   map[string]*account
}

// account is what one namespace has.
type account struct {
	records map[string]*record
	bytes   int
	// leftOut is about how many of its Pods are not kept for want of room.
	leftOut int
}

// bytesPerPod is what a Pod may take on average of all that are allowed.
const bytesPerPod = 2 << 10

func newPods(most int) *pods {
	return &pods{maxPods: most, maxBytes: most * bytesPerPod, by: map[string]*account{}}
}

// set keeps a record. fresh says that the Pod is not one that was left out before.
func (p *pods) set(namespace string, r *record, fresh bool) {
	a := p.by[namespace]
	if a == nil {
		a = &account{records: map[string]*record{}}
		p.by[namespace] = a
	}
	if before := a.records[r.name]; before != nil {
		p.drop(a, before)
	} else if !fresh {
		p.found(a)
	}
	a.records[r.name] = r
	a.bytes += r.bytes
	p.count++
	p.bytes += r.bytes
	for p.count > p.maxPods || p.bytes > p.maxBytes {
		p.leaveOut(r)
	}
}

// leaveOut drops one record of the namespace that takes the most room: newest,
// where that is its own.
func (p *pods) leaveOut(newest *record) {
	var most *account
	var name string
	for n, a := range p.by {
		if most == nil || a.bytes > most.bytes || a.bytes == most.bytes && n < name {
			most, name = a, n
		}
	}
	victim := most.records[newest.name]
	if victim != newest {
		for _, victim = range most.records {
			break
		}
	}
	p.drop(most, victim)
	most.leftOut++
	p.left++
}

// found notes that one that was left out is kept by now, or gone.
func (p *pods) found(a *account) {
	if a.leftOut > 0 {
		a.leftOut--
		p.left--
	}
}

func (p *pods) drop(a *account, r *record) {
	delete(a.records, r.name)
	a.bytes -= r.bytes
	p.count--
	p.bytes -= r.bytes
}

func (p *pods) remove(namespace, name string) {
	a := p.by[namespace]
	if a == nil {
		return
	}
	if r := a.records[name]; r != nil {
		p.drop(a, r)
	} else {
		p.found(a)
	}
	if len(a.records) == 0 && a.leftOut == 0 {
		delete(p.by, namespace)
	}
}

// leftOut is how many are left out of each namespace; nil: none.
func (p *pods) leftOut() map[string]int {
	if p.left == 0 {
		return nil
	}
	by := map[string]int{}
	for n, a := range p.by {
		if a.leftOut > 0 {
			by[n] = a.leftOut
		}
	}
	return by
}

// roomy reports that what was left out may fit by now.
func (p *pods) roomy() bool {
	const part = 10
	return p.count <= p.maxPods-p.maxPods/part && p.bytes <= p.maxBytes-p.maxBytes/part
}
