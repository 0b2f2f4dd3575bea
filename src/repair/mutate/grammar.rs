//! What the grammars call things.
//!
//! One list serves all languages: where two grammars have the same word, they mean the same by it.

/// Texts, whatever their quotes.
pub const STRINGS: &[&str] = &[
    "string",
    "string_literal",
    "raw_string_literal",
    "interpreted_string_literal",
    "char_literal",
    "character_literal",
    "rune_literal",
    "template_string",
    "regex",
    "heredoc_body",
    "simple_symbol",
    "jsx_text",
];

/// Code within a text.
pub const THAWING: &[&str] = &["interpolation", "template_substitution"];

/// What never changes and binds nothing: comments, attributes, imports, types, labels.
pub const NEVER: &[&str] = &[
    "comment",
    "line_comment",
    "block_comment",
    "decorator",
    "attribute_item",
    "inner_attribute_item",
    "annotation",
    "marker_annotation",
    "modifiers",
    "import_statement",
    "import_from_statement",
    "future_import_statement",
    "import_declaration",
    "package_clause",
    "package_declaration",
    "use_declaration",
    "extern_crate_declaration",
    "preproc_include",
    "preproc_def",
    "macro_definition",
    "global_statement",
    "nonlocal_statement",
    "format_specifier",
    "type",
    "type_annotation",
    "type_arguments",
    "type_parameters",
    "type_identifier",
    "generic_type",
    "primitive_type",
    "predefined_type",
    "array_type",
    "slice_type",
    "map_type",
    "channel_type",
    "pointer_type",
    "reference_type",
    "function_type",
    "struct_type",
    "interface_type",
    "qualified_type",
    "scoped_type_identifier",
    "where_clause",
    "trait_bounds",
    "class_heritage",
    "lifetime",
    "label",
    "statement_identifier",
];

/// Fields that hold a type.
pub const TYPE_FIELDS: &[&str] =
    &["type", "return_type", "result", "type_parameters", "type_arguments", "superclasses", "superclass"];

/// How the kinds end whose field `name` is what they define.
pub const DEFINITIONS: &[&str] = &["_definition", "_item", "_declaration", "function_expression", "method", "class"];

/// Where parameters stand.
pub const SIGNATURES: &[&str] = &[
    "parameters",
    "formal_parameters",
    "parameter_list",
    "lambda_parameters",
    "closure_parameters",
    "method_parameters",
    "block_parameters",
    "inferred_parameters",
    "function_declarator",
];

/// Where a parameter's default value stands.
pub const DEFAULTS: &[(&str, &str)] = &[
    ("default_parameter", "value"),
    ("typed_default_parameter", "value"),
    ("required_parameter", "value"),
    ("optional_parameter", "value"),
    ("keyword_parameter", "value"),
    ("assignment_pattern", "right"),
    ("optional_parameter_declaration", "default_value"),
];

/// What has an operator within.
pub const OPERATIONS: &[&str] = &[
    "binary_expression",
    "binary_operator",
    "boolean_operator",
    "comparison_operator",
    "augmented_assignment",
    "augmented_assignment_expression",
    "compound_assignment_expr",
    "operator_assignment",
    "assignment_expression",
    "assignment_statement",
    "update_expression",
    "inc_statement",
    "dec_statement",
    "binary",
];

/// Two values and an operator between them.
pub const BINARIES: &[&str] = &["binary_expression", "binary_operator", "boolean_operator", "comparison_operator", "binary"];

pub const ASSIGNMENTS: &[&str] = &["assignment", "assignment_expression", "assignment_statement"];

/// A call, and in which field its arguments stand.
pub const CALLS: &[&str] = &["call", "call_expression", "method_invocation"];

/// What reaches into a value by name, and the fields that hold the name.
pub const ACCESSES: &[&str] =
    &["attribute", "member_expression", "field_expression", "selector_expression", "field_access", "method_invocation", "call"];
pub const ACCESSED: &[&str] = &["attribute", "property", "field", "name", "method"];

/// What reaches into a value by index.
pub const INDEXINGS: &[&str] = &["subscript", "subscript_expression", "index_expression", "element_reference", "array_access"];

/// Whole numbers.
pub const INTEGERS: &[&str] =
    &["integer", "integer_literal", "int_literal", "number", "number_literal", "decimal_integer_literal"];

/// Words for a value or a member.
pub const WORDS: &[&str] = &["identifier", "property_identifier", "field_identifier"];

/// What binds the words within it: the kind, and the field.
pub const BINDERS: &[(&str, &str)] = &[
    ("for_statement", "left"),
    ("for_in_clause", "left"),
    ("for_in_statement", "left"),
    ("for_expression", "pattern"),
    ("range_clause", "left"),
    ("enhanced_for_statement", "name"),
    ("for_range_loop", "declarator"),
    ("named_expression", "name"),
    ("variable_declarator", "name"),
    ("short_var_declaration", "left"),
    ("var_spec", "name"),
    ("const_spec", "name"),
    ("let_declaration", "pattern"),
    ("let_condition", "pattern"),
    ("match_arm", "pattern"),
    ("init_declarator", "declarator"),
    ("declaration", "declarator"),
    ("catch_clause", "parameter"),
    ("arrow_function", "parameter"),
    ("lambda_expression", "parameters"),
];

/// What stands between a binder and the words that it binds.
pub const PATTERNS: &[&str] = &[
    "pattern_list",
    "tuple_pattern",
    "list_pattern",
    "list_splat_pattern",
    "expression_list",
    "array_pattern",
    "object_pattern",
    "pair_pattern",
    "rest_pattern",
    "assignment_pattern",
    "match_pattern",
    "tuple_struct_pattern",
    "struct_pattern",
    "field_pattern",
    "ref_pattern",
    "mut_pattern",
    "or_pattern",
    "captured_pattern",
    "slice_pattern",
    "reference_pattern",
    "pointer_declarator",
    "reference_declarator",
    "array_declarator",
    "left_assignment_list",
];

/// What a bound word can be seen in, where blocks have names of their own.
pub const BLOCKS: &[&str] = &[
    "block",
    "statement_block",
    "compound_statement",
    "function_item",
    "function_declaration",
    "function_definition",
    "function_expression",
    "generator_function_declaration",
    "method_declaration",
    "method_definition",
    "arrow_function",
    "func_literal",
    "closure_expression",
    "lambda_expression",
    "match_arm",
    "if_expression",
    "if_statement",
    "for_expression",
    "for_statement",
    "for_in_statement",
    "for_range_loop",
    "enhanced_for_statement",
    "while_expression",
    "catch_clause",
    "expression_case",
];

/// The same where only functions have.
pub const FUNCTIONS: &[&str] = &["function_definition", "lambda", "method", "do_block", "block"];

/// What names its words after it has used them.
pub const COMPREHENSIONS: &[&str] =
    &["list_comprehension", "set_comprehension", "dictionary_comprehension", "generator_expression"];

/// Values that are short enough to change places.
pub const SIMPLE: &[&str] = &[
    "identifier",
    "self",
    "this",
    "attribute",
    "member_expression",
    "field_expression",
    "selector_expression",
    "field_access",
    "subscript",
    "subscript_expression",
    "index_expression",
    "integer",
    "integer_literal",
    "int_literal",
    "number",
    "number_literal",
    "decimal_integer_literal",
    "float",
    "float_literal",
    "string",
    "string_literal",
    "interpreted_string_literal",
    "true",
    "false",
    "none",
    "null",
    "nil",
    "boolean_literal",
    "reference_expression",
];

/// Values that have parts.
pub const WHOLES: &[&str] = &[
    "list",
    "dictionary",
    "set",
    "tuple",
    "array",
    "object",
    "array_expression",
    "composite_literal",
    "list_comprehension",
    "hash",
    "dictionary_comprehension",
    "set_comprehension",
];
