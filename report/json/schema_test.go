package reportjson

import (
	"bytes"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/bpfcov/bpfcov/report/model"
)

// TestSchema checks what is written against the published schema, with a validator of JSON Schema.
func TestSchema(t *testing.T) {
	c := jsonschema.NewCompiler()
	c.DefaultDraft(jsonschema.Draft2020)
	s, err := c.Compile("../../docs/schema/report-1.json")
	if err != nil {
		t.Fatal(err)
	}
	validate := func(doc []byte) error {
		v, err := jsonschema.UnmarshalJSON(bytes.NewReader(doc))
		if err != nil {
			t.Fatal(err)
		}
		return s.Validate(v)
	}
	full := write(t, fixture(t), Options{})
	for name, doc := range map[string][]byte{
		"whole": full, "without files": write(t, fixture(t), Options{NoFiles: true}),
		"empty": write(t, &model.Report{Reasons: []string{""}}, Options{}),
	} {
		if err := validate(doc); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	// The schema must be able to refuse.
	for _, x := range [][2]string{{`"schema": 1`, `"schema": 2`}, {`"outcome":"passed"`, `"outcome":"fine"`}, {`"status":"`, `"state":"`},
		{`"kind":"function"`, `"kind":"method"`}, {`"hit":`, `"hits":`}} {
		bad := strings.Replace(string(full), x[0], x[1], 1)
		if bad == string(full) || validate([]byte(bad)) == nil {
			t.Errorf("a document with %s instead of %s is accepted", x[1], x[0])
		}
	}
}
