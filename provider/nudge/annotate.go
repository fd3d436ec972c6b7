package nudge

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/metadata"

	"github.com/imagegate/imagegate/provider/kube"
)

// timeForm is RFC 3339 to the millisecond: an annotation that stays as it is is
// no update.
const timeForm = "2006-01-02T15:04:05.000Z07:00"

// patch is a JSON merge patch. The UID in it is a condition: it cannot be
// changed, so an object with another one is refused.
type patch struct {
	Metadata patchedMetadata `json:"metadata"`
}

type patchedMetadata struct {
	UID         string            `json:"uid"`
	Annotations map[string]string `json:"annotations"`
}

// send sends a merge patch of an owner to the API server, whose error it returns.
type send func(ctx context.Context, who id, body []byte) error

// through is send by way of a client, which asks for no more than the metadata
// back.
func through(client metadata.Interface) send {
	return func(ctx context.Context, who id, body []byte) error {
		_, err := client.Resource(who.owner.Kind.Resource()).Namespace(who.namespace).
			Patch(ctx, who.owner.Name, types.MergePatchType, body, metav1.PatchOptions{FieldManager: fieldManager})
		return err
	}
}

// annotate writes the time into the owner. The error is the API server's.
func (n *Nudger) annotate(ctx context.Context, who id) error {
	body, err := json.Marshal(patch{patchedMetadata{
		UID:         who.owner.UID,
		Annotations: map[string]string{Annotation: time.Now().UTC().Format(timeForm)},
	}})
	if err != nil {
		return fmt.Errorf("encoding a patch: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, kube.Timeout)
	defer cancel()
	return n.send(ctx, who, body)
}

// resultOf says what became of a nudge. Failed is what another attempt may better.
func resultOf(err error) result {
	if err == nil {
		return resultOK
	}
	switch code(err) {
	case http.StatusNotFound, http.StatusGone, http.StatusUnprocessableEntity:
		// Unprocessable is a UID that is another's.
		return resultGone
	case http.StatusForbidden:
		return resultForbidden
	}
	return resultFailed
}

// code is the HTTP status in err, or zero when there was no answer.
func code(err error) int32 {
	if s, ok := errors.AsType[*apierrors.StatusError](err); ok {
		return s.Status().Code
	}
	return 0
}

// refusals are the resources of which an operator has been told that they may not
// be annotated.
type refusals struct {
	mu   sync.Mutex
	told map[schema.GroupResource]bool
}

// begin reports whether this is to be told, because it was not since it last
// worked.
func (r *refusals) begin(resource schema.GroupResource) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.told[resource] {
		return false
	}
	if r.told == nil {
		r.told = map[schema.GroupResource]bool{}
	}
	r.told[resource] = true
	return true
}

func (r *refusals) end(resource schema.GroupResource) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.told, resource)
}
