package settings

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"go.yaml.in/yaml/v3"
)

// A number is an unquoted number as written in the file: 0660, where YAML reads
// 432.
type number string

// readFile reads the one YAML document of a file.
func readFile(path string) (map[string]any, error) {
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%w; name the file with --config FILE", err)
	} else if err != nil {
		return nil, err
	}
	var document yaml.Node
	var values map[string]any
	decoder := yaml.NewDecoder(bytes.NewReader(text))
	if err := decoder.Decode(&document); errors.Is(err, io.EOF) {
		return nil, nil // an empty file
	} else if err != nil {
		return nil, err
	}
	if err := document.Decode(&values); err != nil {
		return nil, err
	}
	if err := decoder.Decode(new(yaml.Node)); !errors.Is(err, io.EOF) {
		return nil, errors.New("expected one YAML document, found another after it (---)")
	}
	if values != nil {
		asWritten(document.Content[0], values)
	}
	return values, nil
}

// asWritten replaces each number in value, which was decoded from node, with its
// spelling in the file.
func asWritten(node *yaml.Node, value any) any {
	if node.Kind == yaml.AliasNode {
		node = node.Alias
	}
	switch value := value.(type) {
	case map[string]any:
		for i := 0; i < len(node.Content); i += 2 {
			if key := node.Content[i].Value; value[key] != nil {
				value[key] = asWritten(node.Content[i+1], value[key])
			}
		}
	case []any:
		for i := range value {
			value[i] = asWritten(node.Content[i], value[i])
		}
	case int, int64, uint64, float64:
		return number(node.Value)
	}
	return value
}
