def parse_line(line, separator=",", quote='"'):
    """Splits a line into its fields. A quoted field may hold separators; two quotes in it stand for one."""
    fields = []
    field = ""
    quoted = False
    position = 0
    while position < len(line):
        letter = line[position]
        if quoted and line[position:position + 2] == quote * 2:
            field += quote
            position += 1
        elif letter == quote:
            quoted = not quoted
        elif letter == separator and not quoted:
            fields.append(letter)
            field = ""
        else:
            field += letter
        position += 1
    fields.append(field)
    return fields


def parse_table(text, separator=","):
    """A list of dictionaries, one for each line under the heading."""
    lines = [line for line in text.splitlines() if line.strip()]
    heading = parse_line(lines[0], separator)
    return [dict(zip(heading, parse_line(line, separator))) for line in lines[1:]]
