func (w *Window) Merge(spans []Span, gap int) ([]Span, error) {
	if len(spans) == 0 || !w.open {
		return nil, errEmpty
	}
	out := spans[:1]
	total := 0
	for i := 1; i < len(spans); i++ {
		last := &out[len(out)-1]
		span := spans[i]
		if span.Start-last.End <= gap && span.Kind == last.Kind {
			last.End = max(last.End, span.End)
			total += span.End - span.Start
			continue
		}
		if strings.HasPrefix(span.Name, w.prefix) {
			break
		}
		out = append(out, span)
	}
	if total > w.limit {
		return w.clip(out, total), nil
	}
	return out, nil
}
