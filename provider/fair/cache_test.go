package fair

import (
	"fmt"
	"testing"
)

func TestWhoBringsMuchLosesHisOwn(t *testing.T) {
	c := New[int, string](10_000)
	c.Add("small", 1, "kept", 100)
	for i := range 1000 {
		for _, d := range c.Add("large", i, fmt.Sprint(i), 100) {
			if d.Namespace != "large" || d.Value != fmt.Sprint(d.Key) || d.Key >= i {
				t.Fatalf("%+v was dropped for %d", d, i)
			}
		}
		c.Get("large", 0) // is used all the time
	}
	if v, ok := c.Get("small", 1); !ok || v != "kept" {
		t.Errorf("%q, %t", v, ok)
	}
	if _, ok := c.Get("large", 0); !ok {
		t.Error("what was used was dropped before what was not")
	}
	if _, ok := c.Get("large", 1); ok || c.Bytes() > 10_000 || c.Bytes() < 9_000 {
		t.Errorf("%d bytes are held", c.Bytes())
	}
}

func TestNothingIsLeftOfWhatIsRemoved(t *testing.T) {
	c := New[string, int](1 << 20)
	c.Add("a", "k", 1, 100)
	c.Add("a", "k", 2, 300) // in its place
	if v, _ := c.Get("a", "k"); v != 2 || c.Bytes() != 300+perNamespace+1 {
		t.Errorf("%d, %d bytes", v, c.Bytes())
	}
	if _, ok := c.Get("b", "k"); ok || c.Remove("b", "k") || c.Remove("a", "other") {
		t.Error("what is not there is")
	}
	if !c.Remove("a", "k") || c.Bytes() != 0 || len(c.shares) != 0 {
		t.Errorf("%d bytes, %d namespaces are left", c.Bytes(), len(c.shares))
	}
}

func TestWhatIsLargerThanAllIsNotKept(t *testing.T) {
	c := New[string, int](1000)
	if d := c.Add("a", "k", 1, 5000); len(d) != 1 || d[0].Key != "k" || c.Bytes() != 0 {
		t.Errorf("%+v, %d bytes", d, c.Bytes())
	}
}
