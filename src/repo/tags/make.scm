(rule (targets (word) @name)) @definition.target
(variable_assignment name: (word) @name) @definition.constant
(define_directive name: (word) @name) @definition.macro
(prerequisites (word) @name) @reference.target
(variable_reference (word) @name) @reference.variable
