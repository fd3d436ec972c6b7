package node_test

import (
	"bufio"
	"encoding/json"
	"os"
	"strings"
	"testing"
	"time"
)

// request is a line of the API server's audit log.
type request struct {
	Verb string    `json:"verb"`
	At   time.Time `json:"requestReceivedTimestamp"`
	User struct {
		Username string `json:"username"`
	} `json:"user"`
	ObjectRef struct {
		Resource, Namespace, Name, APIGroup string
	} `json:"objectRef"`
	ResponseStatus struct {
		Code int `json:"code"`
	} `json:"responseStatus"`
	Annotations map[string]string `json:"annotations"`
}

// audited returns the requests since a time that keep wants.
func audited(t *testing.T, since time.Time, keep func(request) bool) (all []request) {
	t.Helper()
	f, err := os.Open(on.AuditLog())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 4<<20)
	for lines.Scan() {
		var r request
		if json.Unmarshal(lines.Bytes(), &r) == nil && !r.At.Before(since) && keep(r) {
			all = append(all, r)
		}
	}
	if err := lines.Err(); err != nil {
		t.Fatal(err)
	}
	return all
}

// deletions are the objects of resources that somebody has asked to delete.
func deletions(t *testing.T, since time.Time, resources ...string) (all []string) {
	t.Helper()
	for _, r := range audited(t, since, func(r request) bool { return strings.HasPrefix(r.Verb, "delete") }) {
		for _, resource := range resources {
			if r.ObjectRef.Resource == resource {
				all = append(all, resource+"/"+r.ObjectRef.Name)
			}
		}
	}
	return all
}
