//! An absent need skips a test, and fails it where the environment expects it. (One test: the environment is the process's.)

use repghost_testing::{need, shared, SHARED, VARIABLE};

#[test]
fn an_absent_need_fails_only_where_it_is_expected() {
    let folder = std::env::temp_dir();
    std::env::set_var(SHARED, &folder);
    std::env::remove_var(VARIABLE);
    assert_eq!(need("library", Some(3), "install it"), Some(3));
    assert_eq!(need::<i32>("library", None, "install it"), None);
    assert_eq!(shared("no such file of ours"), None);
    assert_eq!(shared("."), Some(folder.join(".")));

    std::env::set_var(VARIABLE, "library,shared");
    let message = |f: fn()| *std::panic::catch_unwind(f).unwrap_err().downcast::<String>().unwrap();
    let text = message(|| assert_eq!(need::<i32>("library", None, "install it"), None));
    assert!(text.contains("library is absent") && text.contains("install it"), "{text}");
    let text = message(|| drop(shared("no such file of ours")));
    assert!(text.contains("no such file of ours"), "{text}");
    assert_eq!(need("library", Some(3), "install it"), Some(3));
    assert_eq!(need::<i32>("other", None, "install it"), None);
}
