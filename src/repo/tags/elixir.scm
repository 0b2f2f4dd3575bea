(call target: (identifier) @ignore (arguments (alias) @name) (#eq? @ignore "defimpl")) @definition.module
