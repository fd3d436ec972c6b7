package review

import (
	"errors"
	"fmt"

	admissionv1 "k8s.io/api/admission/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
)

// isAdmissionRequest recognises an AdmissionRequest on its own, as logs print
// it. Its kind is not its own but its object's, and not a string.
func isAdmissionRequest(object map[string]any) bool {
	kind, found := object["kind"]
	if _, nested := kind.(map[string]any); nested {
		return true
	}
	_, operation := object["operation"]
	return !found && operation
}

func fromReview(d document) (Object, error) {
	if kind := d.object.GetKind(); kind != "AdmissionReview" {
		return Object{}, fmt.Errorf("kind %q of group %s is not AdmissionReview", kind, admissionv1.GroupName)
	}
	var review admissionv1.AdmissionReview
	if err := runtime.DefaultUnstructuredConverter.FromUnstructuredWithValidation(d.object.Object, &review, true); err != nil {
		return Object{}, fmt.Errorf("reading an AdmissionReview: %w", err)
	}
	if review.Request == nil {
		return Object{}, errors.New("AdmissionReview: field request is missing")
	}
	o, err := fromAdmission(d.source, review.Request)
	if err != nil {
		return Object{}, fmt.Errorf("AdmissionReview: request: %w", err)
	}
	return o, nil
}

func fromRequest(d document) (Object, error) {
	var request admissionv1.AdmissionRequest
	if err := runtime.DefaultUnstructuredConverter.FromUnstructuredWithValidation(d.object.Object, &request, true); err != nil {
		return Object{}, fmt.Errorf("reading an AdmissionRequest: %w", err)
	}
	o, err := fromAdmission(d.source, &request)
	if err != nil {
		return Object{}, fmt.Errorf("AdmissionRequest: %w", err)
	}
	return o, nil
}

// fromAdmission takes a request as it is. Only what the API server always sends
// and a shortened request may lack is filled in, from the object.
func fromAdmission(source string, request *admissionv1.AdmissionRequest) (Object, error) {
	switch request.Operation {
	case admissionv1.Create, admissionv1.Update, admissionv1.Delete, admissionv1.Connect:
	case "":
		return Object{}, errors.New("field operation is missing")
	default:
		return Object{}, fmt.Errorf("field operation: %q must be one of CREATE, UPDATE, DELETE, CONNECT", request.Operation)
	}
	field, raw := "object", request.Object.Raw
	if request.Operation == admissionv1.Delete {
		field, raw = "oldObject", request.OldObject.Raw
	}
	if len(raw) == 0 {
		return Object{}, fmt.Errorf("field %s is missing, which a %s request has", field, request.Operation)
	}
	content := &unstructured.Unstructured{}
	if err := content.UnmarshalJSON(raw); err != nil {
		return Object{}, fmt.Errorf("field %s: %w", field, err)
	}
	if request.Kind.Kind == "" {
		gvk := content.GroupVersionKind()
		request.Kind = metav1.GroupVersionKind{Group: gvk.Group, Version: gvk.Version, Kind: gvk.Kind}
	}
	if request.Namespace == "" {
		request.Namespace = content.GetNamespace()
	}
	if request.Name == "" {
		request.Name = content.GetName()
	}
	return Object{source: source, content: content, request: request}, nil
}
