###### Begin: Custom rules ######
my_example_rule {
    # Some conditions...
    false
}
other_rule {
    # Some other conditions...
    true
}
deny_image["This is a custom deny message"] {
    my_example_rule
    other_rule
}
###### End: Custom rules ######
