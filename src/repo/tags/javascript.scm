; Of the variables only those of the module that hold data: a call is as a rule an import.
(program (lexical_declaration (variable_declarator name: (identifier) @name
  value: [(number) (string) (array) (object) (unary_expression) (binary_expression) (regex) (new_expression)]) @definition.constant))
(program (export_statement (lexical_declaration (variable_declarator name: (identifier) @name
  value: [(number) (string) (array) (object) (unary_expression) (binary_expression) (regex) (new_expression)]) @definition.constant)))
