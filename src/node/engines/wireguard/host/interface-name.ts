/**
 * What interfaces are called that packets may be sent out of. Linux takes more, which nobody uses: nothing that a rule,
 * a path or a comment could misunderstand gets further than here.
 */
export const interfaceNameShape = /^[A-Za-z0-9_][A-Za-z0-9_.-]{0,14}$/;
