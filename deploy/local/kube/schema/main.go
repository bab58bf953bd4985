// Command schema holds rendered manifests (YAML on standard input) to what a Kubernetes of this version takes, without one: every field
// is known, custom resources fit the CRDs in the folders that it is given, Pods fit the `restricted` profile but in namespaces and of
// names given by -privileged. It prints how many there are of each kind.
package main

import (
	"bufio"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sort"
	"strings"

	apps "k8s.io/api/apps/v1"
	batch "k8s.io/api/batch/v1"
	core "k8s.io/api/core/v1"
	"k8s.io/apiextensions-apiserver/pkg/apis/apiextensions"
	crds "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	structural "k8s.io/apiextensions-apiserver/pkg/apiserver/schema"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/pruning"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/validation"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/apimachinery/pkg/util/validation/field"
	yamls "k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/pod-security-admission/api"
	"k8s.io/pod-security-admission/policy"
	"sigs.k8s.io/yaml"
)

// kind is what a CRD says of one version of a kind.
type kind struct {
	shape *structural.Structural
	valid validation.SchemaValidator
}

func main() {
	privileged := flag.String("privileged", "", "names of workloads that are not held to the restricted profile, by commas")
	flag.Parse()
	known, err := customKinds(flag.Args())
	if err != nil {
		fmt.Fprintln(os.Stderr, "schema:", err)
		os.Exit(2)
	}
	evaluator, err := policy.NewEvaluator(policy.DefaultChecks())
	if err != nil {
		fmt.Fprintln(os.Stderr, "schema:", err)
		os.Exit(2)
	}
	decoder := serializer.NewCodecFactory(scheme.Scheme, serializer.EnableStrict).UniversalDeserializer()
	documents := yamls.NewYAMLReader(bufio.NewReader(os.Stdin))
	counts, problems := map[string]int{}, 0
	tell := func(format string, args ...any) {
		problems++
		fmt.Fprintf(os.Stderr, format+"\n", args...)
	}
	for {
		document, err := documents.Read()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			tell("%v", err)
			break
		}
		var plain map[string]any
		if err := yaml.UnmarshalStrict(document, &plain); err != nil {
			tell("%v\n%s", err, document)
			continue
		}
		if len(plain) == 0 {
			continue
		}
		named := fmt.Sprintf("%v %v", plain["kind"], plain["metadata"].(map[string]any)["name"])
		counts[fmt.Sprint(plain["kind"])]++
		object, _, err := decoder.Decode(document, nil, nil)
		if runtime.IsNotRegisteredError(err) {
			for _, problem := range known.problems(plain) {
				tell("%s: %s", named, problem)
			}
			continue
		}
		if err != nil {
			tell("%s: %v", named, err)
			continue
		}
		if pod := podOf(object); pod != nil && !among(fmt.Sprint(plain["metadata"].(map[string]any)["name"]), *privileged) {
			restricted := api.LevelVersion{Level: api.LevelRestricted, Version: api.LatestVersion()}
			found := policy.AggregateCheckResults(evaluator.EvaluatePod(restricted, &pod.ObjectMeta, &pod.Spec))
			if !found.Allowed {
				tell("%s: not restricted: %s", named, found.ForbiddenDetail())
			}
		}
	}
	names := []string{}
	for name, count := range counts {
		names = append(names, fmt.Sprintf("%d %s", count, name))
	}
	sort.Strings(names)
	fmt.Println(strings.Join(names, ", "))
	if problems > 0 || len(counts) == 0 {
		os.Exit(1)
	}
}

func among(name, list string) bool {
	for _, one := range strings.Split(list, ",") {
		if one == name {
			return true
		}
	}
	return false
}

func podOf(object runtime.Object) *core.PodTemplateSpec {
	switch object := object.(type) {
	case *apps.Deployment:
		return &object.Spec.Template
	case *apps.StatefulSet:
		return &object.Spec.Template
	case *apps.DaemonSet:
		return &object.Spec.Template
	case *batch.Job:
		return &object.Spec.Template
	case *core.Pod:
		return &core.PodTemplateSpec{ObjectMeta: object.ObjectMeta, Spec: object.Spec}
	}
	return nil
}

type kinds map[schema.GroupVersionKind]kind

// customKinds reads every CRD in the folders.
func customKinds(folders []string) (kinds, error) {
	found := kinds{}
	for _, folder := range folders {
		files, err := filepath.Glob(filepath.Join(folder, "*.yaml"))
		if err != nil || len(files) == 0 {
			return nil, fmt.Errorf("no *.yaml in %s: %v", folder, err)
		}
		for _, file := range files {
			text, err := os.ReadFile(file)
			if err != nil {
				return nil, err
			}
			documents := yamls.NewYAMLReader(bufio.NewReader(strings.NewReader(string(text))))
			for {
				document, err := documents.Read()
				if errors.Is(err, io.EOF) {
					break
				}
				if err != nil {
					return nil, fmt.Errorf("%s: %w", file, err)
				}
				var crd crds.CustomResourceDefinition
				if yaml.Unmarshal(document, &crd) != nil || crd.Kind != "CustomResourceDefinition" {
					continue
				}
				if err := found.add(&crd); err != nil {
					return nil, fmt.Errorf("%s: %w", file, err)
				}
			}
		}
	}
	return found, nil
}

func (k kinds) add(crd *crds.CustomResourceDefinition) error {
	for _, version := range crd.Spec.Versions {
		var internal apiextensions.CustomResourceValidation
		if err := crds.Convert_v1_CustomResourceValidation_To_apiextensions_CustomResourceValidation(version.Schema, &internal, nil); err != nil {
			return err
		}
		shape, err := structural.NewStructural(internal.OpenAPIV3Schema)
		if err != nil {
			return err
		}
		valid, _, err := validation.NewSchemaValidator(internal.OpenAPIV3Schema)
		if err != nil {
			return err
		}
		k[schema.GroupVersionKind{Group: crd.Spec.Group, Version: version.Name, Kind: crd.Spec.Names.Kind}] = kind{shape, valid}
	}
	return nil
}

func (k kinds) problems(object map[string]any) (found []string) {
	version, err := schema.ParseGroupVersion(fmt.Sprint(object["apiVersion"]))
	if err != nil {
		return []string{err.Error()}
	}
	one, ok := k[version.WithKind(fmt.Sprint(object["kind"]))]
	if !ok {
		return []string{fmt.Sprintf("nothing says what %s of %s is", object["kind"], version)}
	}
	for _, problem := range validation.ValidateCustomResource(field.NewPath(""), object, one.valid) {
		found = append(found, problem.Error())
	}
	options := structural.UnknownFieldPathOptions{TrackUnknownFieldPaths: true}
	for _, path := range pruning.PruneWithOptions(object, one.shape, true, options) {
		found = append(found, "unknown field "+path)
	}
	return found
}
