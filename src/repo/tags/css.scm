(class_selector (class_name (identifier) @name)) @definition.class
(id_selector (id_name) @name) @definition.id
(keyframes_statement (keyframes_name) @name) @definition.keyframes
((declaration (property_name) @name) @definition.property (#match? @name "^--"))
(call_expression (function_name) @function (arguments (plain_value) @name) (#eq? @function "var")) @reference.property
