(const_item name: (identifier) @name) @definition.constant
(static_item name: (identifier) @name) @definition.constant
(type_identifier) @name @reference.type
(scoped_identifier name: (identifier) @name) @reference.path
(use_declaration argument: (scoped_use_list list: (use_list (identifier) @name))) @reference.path
